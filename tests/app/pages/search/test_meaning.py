"""The search by meaning: off, on, and asked what it cannot answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.jobs.harvested import embed as job
from app.settings import Settings
from app.store.search.meaning_folder import meaning_folder
from sae_core.meaning.vectors import open_vectors, save_vectors
from tests import factories
from tests.app.pretend.clients import Client, filled
from tests.app.pretend.prompts import PretendPrompts


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def site(home: Path):
    with filled(home, PretendPrompts()) as made:
        yield made


def switch_on(site: Client, digest: str = "") -> None:
    """Feature n has the vector n of the basis, and the text `about n`."""
    view = site.store.dictionary("demo", "mlp-12")
    about = {"model": "sentences", "checksum": "d" * 64, "digest": digest or view.digest}
    [home] = {Path(site.http.app.state.site.home)}  # type: ignore[attr-defined]
    save_vectors(
        meaning_folder(home, view),
        range(8),
        [f"about {n} <b>" for n in range(8)],
        np.eye(8, dtype=np.float32),
        about,
    )


def test_where_it_is_off_the_page_says_how_to_switch_it_on(site: Client) -> None:
    page = site.get("/search/meaning?q=sockets&d=demo/mlp-12")
    assert page.status_code == 200
    assert "run `featurescope embed demo/mlp-12`" in page.text
    answer = site.get("/api/v1/search/meaning?q=sockets&d=demo/mlp-12").json()
    assert (answer["features"], "featurescope[meaning]" in answer["note"]) == ([], True)


def test_the_nearest_texts_come_first_with_their_cosine(site: Client) -> None:
    switch_on(site)
    answer = site.get("/api/v1/search/meaning?q=five5&d=demo/mlp-12").json()
    best = answer["features"][0]
    assert (best["index"], best["text"], best["cosine"]) == (5, "about 5 <b>", 1.0)
    assert answer["features"][1]["cosine"] == 0.0
    page = site.get("/search/meaning?q=five5&d=demo/mlp-12").text
    assert "about 5 &lt;b&gt;" in page
    assert 'href="/d/demo/mlp-12/5"' in page


@pytest.mark.parametrize("typed", ["", "%20", "%00", "%22*NEAR(", "%ED%A0%80", "a"])
def test_any_text_is_answered(site: Client, typed: str) -> None:
    switch_on(site)
    assert site.get(f"/search/meaning?q={typed}&d=demo/mlp-12").status_code == 200


def test_a_text_that_is_too_long_is_a_sentence(site: Client) -> None:
    switch_on(site)
    page = site.get(f"/search/meaning?q={'x' * 10_000}&d=demo/mlp-12")
    assert (page.status_code, "at most 400 characters; this one has 10,000." in page.text) == (
        422,
        True,
    )
    answer = site.get(f"/api/v1/search/meaning?q={'x' * 401}&d=demo/mlp-12")
    assert (answer.status_code, "this one has 401." in answer.json()["detail"]) == (422, True)


def test_what_was_said_of_another_harvest_is_called_so(site: Client) -> None:
    ask = "/search/meaning?q=five5&d=demo/mlp-12"
    switch_on(site)
    assert "another harvest" not in site.get(ask).text
    assert site.get(f"/api/v1{ask}").json()["stale"] is False
    switch_on(site, digest="0" * 64)
    assert "said of another harvest of demo/mlp-12" in site.get(ask).text
    assert site.get(f"/api/v1{ask}").json()["stale"] is True


def test_a_dictionary_that_waits_for_its_harvest_is_named(site: Client) -> None:
    site.store.add_dictionary(factories.dictionary("waiting"))
    answer = site.get("/api/v1/search/meaning?q=a&d=demo/waiting").json()
    assert answer["note"] == "demo/waiting is not harvested yet: nothing is said of it."


class LengthModel:
    """A sentence model that says how long texts are, and remembers what it was asked."""

    checksum = "e" * 64

    def __init__(self, stops_after: int | None = None) -> None:
        self.asked: list[str] = []
        self._stops_after = stops_after

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        if self._stops_after is not None and len(self.asked) >= self._stops_after:
            raise KeyboardInterrupt
        self.asked += texts
        return np.array([[len(text), 1.0] for text in texts], np.float32)


def test_a_stopped_run_goes_on_and_unchanged_texts_keep_their_vectors(
    site: Client, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "find_sentence_model", lambda _: home)
    monkeypatch.setattr(job, "_AT_ONCE", 2)
    monkeypatch.setattr(job, "_SAVED_EVERY", 0.0)
    view = site.store.dictionary("demo", "mlp-12")

    def run(model: LengthModel) -> list[str]:
        monkeypatch.setattr(job, "SentenceModel", lambda _: model)
        job.embed(Settings(home=home), "demo", "mlp-12", "")
        return model.asked

    first = LengthModel(stops_after=4)
    with pytest.raises(KeyboardInterrupt):
        run(first)
    assert open_vectors(meaning_folder(home, view)) is None
    rest = run(LengthModel())
    assert not {*first.asked} & {*rest}
    saved = open_vectors(meaning_folder(home, view))
    assert saved is not None
    assert {*saved.texts} == {*first.asked, *rest}
    rules = [row.rule for row in site.store.rows(view, range(view.d_sae)).values() if row.rule]
    above = {rule.sentence for rule in rules if rule.above}
    assert above <= {*saved.texts}
    assert not ({rule.sentence for rule in rules} - above) & {*saved.texts}
    assert {rule.sentence for rule in rules} > above
    assert [len(text) for text in saved.texts] == saved.vectors[:, 0].tolist()
    assert [path.name for path in meaning_folder(home, view).parent.iterdir()] == [
        meaning_folder(home, view).name
    ]
    assert run(LengthModel()) == []
    site.store.labels.add(view, 2, "said anew")
    assert run(LengthModel()) == ["said anew"]
