"""The table by what features fire on and what they help: on the page, in its address, as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from app.store.store import Store
from tests import factories
from tests.app.pretend.clients import Client, client

TABLE = "/d/demo/mlp-12"


@pytest.fixture
def sample() -> factories.Sample:
    return factories.sample()


@pytest.fixture
def site(sqlite_store: Store, tmp_path: Path, sample: factories.Sample) -> Iterator[Client]:
    factories.publish(sqlite_store, sample)
    view = sqlite_store.dictionary("demo", "mlp-12")
    landings = {f.index: factories.landing(f.index, not f.firings) for f in sample.features}
    sqlite_store.save_landings(view, landings)
    with client(sqlite_store, tmp_path) as made:
        yield made


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def shown(html: str) -> list[int]:
    return [int(n) for n in re.findall(r'<th scope="row"><a href="[^"]*/(\d+)"', html)]


def fitting(sample: factories.Sample, *tokens: int) -> list[int]:
    assert all(f.fires_on is not None for f in sample.features)
    return [f.index for f in sample.features if {*tokens} & {*f.fires_on.ids.tolist()}]  # type: ignore[union-attr]


def test_rows_say_what_a_feature_is(site: Client) -> None:
    page = site.get(TABLE).text
    rows = site.get(f"/api/v1{TABLE}").json()["features"]
    for row in rows:
        assert row["summary"].split("`")[0].strip() in words(page)
    assert page.count('<a class="best"') == 9  # of twelve features three are dead
    assert "never fired in 1,048,576 tokens" in words(page)
    assert len(rows[0]["fires_on"]) == len(rows[0]["fires_after"]) == 10
    assert rows[0]["lands_on"][0]["share"] == 0.75
    assert (rows[3]["effect"], rows[3]["lands_on"]) == (None, [])
    assert site.get(f"/api/v1{TABLE}/0/summary").json() == rows[0]
    assert site.get(f"/api/v1{TABLE}/12/summary").status_code == 404


def test_the_best_context_stands_at_its_peak(site: Client, sample: factories.Sample) -> None:
    top = sample.features[0].groups[0].examples
    row = site.get(TABLE).text.split('<th scope="row">')[1]
    before, after = re.findall(r"<p class=[lr]>(.*?)</p>", row)
    assert after.startswith("<bdi class=a")
    assert before.count("<bdi") == min(int(top.peaks[0]), 14)


def test_the_largest_mean_effect_comes_first(site: Client) -> None:
    rows = site.get(f"/api/v1{TABLE}?sort=effect").json()["features"]
    effects = [row["effect"] for row in rows]
    assert effects == sorted(effects[:9], reverse=True) + [None] * 3
    up = site.get(f"{TABLE}?sort=effect&order=asc").text
    assert shown(up) == [3, 7, 11, *[n for n in range(11) if n % 4 != 3]]


def test_the_address_keeps_the_token(site: Client, sample: factories.Sample) -> None:
    page = site.get(f"{TABLE}?sort=effect&on=self&whole=").text
    assert shown(page)
    assert sorted(shown(page)) == fitting(sample, 1)
    assert 'name="on" value="self"' in page
    assert f'href="{TABLE}?sort=density&amp;on=self"' in page
    exact = site.get(f"{TABLE}?on=self&whole=1").text
    assert shown(exact) == []
    assert "No token of demo is just self ; tokens often begin with a blank" in words(exact)
    assert shown(site.get(f"{TABLE}?on=+self&whole=1").text) == fitting(sample, 1)


@pytest.mark.parametrize("typed", ["%0A", "%5Cn", "⏎"])
def test_white_space_can_be_typed(site: Client, sample: factories.Sample, typed: str) -> None:
    newlines = [t for t, piece in enumerate(factories.PIECES) if b"\n" in piece]
    assert shown(site.get(f"{TABLE}?on={typed}").text) == fitting(sample, *newlines)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("zzzz", "No token of demo contains zzzz ."),
        ("%00%01", "No token of demo contains ␀␁ ."),
        ("%E2%80%AE%3Cb%3E", "No token of demo contains U+202E<b> ."),
        ("endoftext", "No token of demo contains endoftext ."),
        ("x" * 200, "No token of demo contains xxxx"),
    ],
)
def test_nonsense_is_a_sentence(site: Client, typed: str, sentence: str) -> None:
    answer = site.get(f"{TABLE}?on={typed}")
    assert answer.status_code == 200
    assert sentence in words(answer.text)
    assert site.get(f"/api/v1{TABLE}?on={typed}").json()["total"] == 0


def test_what_cannot_be_asked(site: Client) -> None:
    assert site.get(f"{TABLE}?on={'x' * 201}").status_code == 422
    assert site.get(f"{TABLE}?on=a&whole=maybe").status_code == 422
    factories.publish(site.store, factories.neurons_sample())
    answer = site.get("/d/demo/neurons?sort=effect")
    assert answer.status_code == 422
    assert "--ablate" in answer.text
