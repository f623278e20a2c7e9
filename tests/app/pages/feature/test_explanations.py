"""Explanations on a feature's page and as JSON: scores beside their nulls, failures as reasons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.store.store import Store, open_store
from app.store.types.explanations import Explanation, ScoredLabel
from tests import factories
from tests.app.pretend.clients import Client, client

HOSTILE = "<script>alert(1)</script> \u202eevil"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(Settings(home=tmp_path)) as store:
        factories.publish(store, factories.sample())
        yield store


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Iterator[Client]:
    with client(store, tmp_path, None) as made:
        yield made


@pytest.fixture
def explained(store: Store) -> Explanation:
    view = store.catalogue()[0]
    details = {"chance": 0.5, "nulls": [0.4, 0.5, 0.6], "failures": {}, "excerpts": []}
    failed = {"chance": 0.0, "nulls": [], "failures": {"No digits.": 3}, "excerpts": []}
    made = Explanation(
        id="e1",
        index=0,
        explainer="contrast",
        model="small",
        text=HOSTILE,
        failure="",
        settings={"seed": 0},
        scores=(
            ScoredLabel("detection", 0.875, 0.75, 0.95, 40, 0.55, 0.25, details),
            ScoredLabel("simulation", None, None, None, 0, None, None, failed),
        ),
    )
    store.explanations.save(view, made)
    return made


def test_the_page_shows_the_label_inert_with_its_nulls(
    site: Client, store: Store, explained: Explanation
) -> None:
    view = store.catalogue()[0]
    page = site.get(f"/d/{view.model}/{view.name}/0").text
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "detection <b>0.88</b>, not above its null" in page
    assert "<td>0.75 to 0.95</td>" in page
    assert "No digits. (3 times)" in page


def test_json_says_the_same(site: Client, store: Store, explained: Explanation) -> None:
    view = store.catalogue()[0]
    address = f"/api/v1/d/{view.model}/{view.name}"
    (answer,) = site.get(f"{address}/0/explanations").json()
    assert answer["text"] == explained.text
    detection, simulation = answer["scores"]
    assert (detection["value"], detection["shuffled"], detection["null_p"]) == (0.875, 0.55, 0.25)
    assert detection["nulls"] == [0.4, 0.5, 0.6]
    assert simulation["value"] is None
    assert simulation["failures"] == {"No digits.": 3}
    assert site.get(f"{address}/1/explanations").json() == []
    assert site.get(f"{address}/999999/explanations").status_code == 404


def test_saved_again_it_is_one(store: Store, explained: Explanation) -> None:
    view = store.catalogue()[0]
    store.explanations.save(view, explained)
    (kept,) = store.explanations.of(view, 0)
    assert kept == explained
    assert store.explanations.of(view, 1) == []
