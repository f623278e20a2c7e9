"""Features of a model that runs in a short dtype: what is rounding is said, and not underlined."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.settings import Settings
from app.store.store import open_store
from tests import factories
from tests.app.pretend.clients import Client, client

MEASURED, UNKNOWN, EXACT = "/d/half/measured/0", "/d/half/unknown/0", "/d/demo/mlp-12/0"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("rounding")
    with open_store(Settings(home=folder)) as store:
        exact = factories.sample()
        factories.publish(store, exact)
        for name, details in (("measured", {"loss_noise": 0.25}), ("unknown", {})):
            factories.publish(
                store,
                replace(
                    exact,
                    model=factories.model("half", dtype="bfloat16", checksum="b" * 64),
                    dictionary=factories.dictionary(name, "half", details=details),
                    harvest=factories.harvest(name, "half"),
                ),
            )
        for view in store.catalogue():
            shown = store.feature(view, 0).windows
            store.save_effects(view, 0, {n: factories.effect(0, n, n=12) for n in shown})
        with client(store, folder, None) as made:
            yield made


def underlined(page: str) -> set[int]:
    """The steps that are drawn on a page."""
    return {
        step
        for step in range(1, 7)
        for sign in "un"
        if re.search(rf"<bdi class=[^>]*\b{sign}{step}\b", page)
    }


def test_changes_within_rounding_are_not_underlined(site: Client) -> None:
    exact, measured = site.get(EXACT).text, site.get(MEASURED).text
    assert min(underlined(exact)) < 5
    assert {5, 6} & underlined(measured)
    assert underlined(measured) <= {5, 6}


def test_the_legend_says_from_where_on_changes_are_drawn(site: Client) -> None:
    assert "below 0.75 nats is rounding" in site.get(MEASURED).text
    assert "from 0.75 nats on" in site.get(MEASURED).text
    assert "rounding of bfloat16 not measured" in site.get(UNKNOWN).text
    exact = site.get(EXACT).text
    assert "from 0.005 nats on" in exact
    assert "rounding" not in exact


def test_how_it_was_made_explains_it(site: Client) -> None:
    assert "0.25 nats (root mean square" in site.get("/d/half/measured/about").text
    assert "was not measured" in site.get("/d/half/unknown/about").text
