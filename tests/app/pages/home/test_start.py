"""The three steps on the front page fit what the store holds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from app.pages.home.start import start, suggested
from app.rendering.tokens import Typeset
from app.settings import Settings
from app.store.store import Store, open_store
from tests import factories
from tests.app.pretend.clients import Client, client


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    with open_store(Settings(home=tmp_path)) as store:
        yield store


@pytest.fixture
def site(empty: Store, tmp_path: Path) -> Iterator[Client]:
    with client(empty, tmp_path) as made:
        yield made


def section(page: str) -> str:
    found = re.search(r'<section class="start".*?</section>', page, re.DOTALL)
    return unescape(found[0]) if found else ""


def test_an_empty_store_has_nothing_to_start_with(site: Client) -> None:
    assert section(site.get("/").text) == ""
    assert suggested([]) is None


def test_every_example_leads_to_a_page(site: Client) -> None:
    factories.publish(site.store, factories.neurons_sample())
    factories.publish(site.store, factories.sample())
    steps = section(site.get("/").text)
    links = re.findall(r'href="([^"]+)"', steps)
    assert [link for link in links if re.fullmatch(r"/d/demo/mlp-12/\d+", link)]
    assert [link for link in links if link.startswith("/m/demo/prompt?text=")]
    assert [link for link in links if link.startswith("/m/demo/steer?text=")]
    for link in links:
        assert site.get(link).status_code in (200, 503), link  # 503: no worker is there


def test_a_dictionary_without_its_model_is_only_read(site: Client) -> None:
    sample = factories.sample()
    alone = dataclasses.replace(sample, model=factories.model(path=""))
    factories.publish(site.store, alone)
    steps = section(site.get("/").text)
    assert "imported without its model" in steps
    assert "/m/" not in steps


def test_examples_are_those_with_large_effects_where_known(empty: Store) -> None:
    sample = factories.sample(120)
    factories.publish(empty, sample)
    view = empty.dictionary("demo", "mlp-12")
    typeset = Typeset(empty.vocabulary(view.model_id))
    assert "sort" not in start(empty, view, typeset).table
    landings = {f.index: factories.landing(f.index, not f.firings) for f in sample.features}
    empty.save_landings(view, landings)
    steps = start(empty, view, typeset)
    assert steps.table == "/d/demo/mlp-12?sort=effect&alive=1"
    effects = sorted((landing.effect or 0 for landing in landings.values()), reverse=True)
    assert len(steps.examples) == 3
    for example in steps.examples:
        assert (landings[example.index].effect or 0) >= effects[49]
        assert "helps" in example.line.text


def test_features_of_an_older_harvest_are_examples_too(empty: Store) -> None:
    sample = factories.sample()
    older = [
        dataclasses.replace(f, fires_on=None, fires_after=None, groups=f.groups[1:])
        for f in sample.features
    ]
    factories.publish(empty, dataclasses.replace(sample, features=tuple(older)))
    view = empty.dictionary("demo", "mlp-12")
    steps = start(empty, view, Typeset(empty.vocabulary(view.model_id)))
    assert [(e.text, e.prompt, e.line.text) for e in steps.examples] == [("", "", "")] * 3
