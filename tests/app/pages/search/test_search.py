"""The search, on its page, below the box and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from app.store.store import Store
from tests.app.pretend.clients import Client, client


@pytest.fixture
def site(sqlite_store: Store, tmp_path: Path) -> Iterator[Client]:
    with client(sqlite_store, tmp_path) as made:
        yield made


def groups(site: Client, q: str, **more: str) -> dict[str, list[tuple[str, int]]]:
    answer = site.get("/api/v1/search?" + urlencode({"q": q, **more}))
    assert answer.status_code == 200, answer.text
    return {
        group["kind"]: [(hit["dictionary"], hit["index"]) for hit in group["hits"]]
        for group in answer.json()["groups"]
    }


def test_every_header_has_the_box(site: Client) -> None:
    for address in ("/", "/glossary", "/runs", "/d/demo/mlp-12", "/d/demo/mlp-12/3", "/search"):
        page = site.get(address).text
        assert page.count('role="search" action="/search"') == 1, address
    assert 'name="d" value="demo/mlp-12"' in site.get("/d/demo/mlp-12/3").text


@pytest.mark.parametrize("typed", ["7", "#7", " 7 "])
def test_a_number_is_that_feature_of_every_dictionary(site: Client, typed: str) -> None:
    assert groups(site, typed)["number"] == [("mlp-12", 7), ("neurons", 7)]
    assert groups(site, typed, d="demo/mlp-12")["number"] == [("mlp-12", 7)]


@pytest.mark.parametrize("typed", ["mlp-12/7", "demo/mlp-12/7", "#mlp-12/7"])
def test_a_number_may_name_its_dictionary(site: Client, typed: str) -> None:
    assert groups(site, typed)["number"] == [("mlp-12", 7)]


@pytest.mark.parametrize("typed", ["12", "99999999999999999999", "-1", "1.5", "other/7"])
def test_other_numbers_are_none(site: Client, typed: str) -> None:
    assert groups(site, typed, d="demo/mlp-12").get("number", []) == []


def test_from_the_box_a_number_leads_to_the_feature_at_once(site: Client) -> None:
    gone = site.get("/search?q=7&d=demo/mlp-12&go=1")
    assert (gone.status_code, gone.headers["location"]) == (303, "/d/demo/mlp-12/7")
    assert site.get("/search?q=77&d=demo/mlp-12&go=1").status_code == 200
    assert site.get("/search?q=7&d=demo/mlp-12").status_code == 200


def test_labels_are_found_marked_and_escaped(site: Client) -> None:
    view = site.store.dictionary("demo", "mlp-12")
    site.store.labels.add(view, 3, "<script>alert(1)</script> \u202egnp self.host")
    assert groups(site, "self.")["labels"] == [("mlp-12", 3)]
    for address in ("/search?q=script", "/search/matches?q=script"):
        page = site.get(address).text
        assert "&lt;<mark>script</mark>&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "\u202e" not in page
    [hit] = site.get("/api/v1/search?q=self.&k=labels").json()["groups"][0]["hits"]
    assert (hit["address"], hit["label"][-9:]) == ("/d/demo/mlp-12/3", "self.host")
    assert "<mark>self.</mark>host" in hit["html"]
    assert "U+202E" in hit["reason"]


def test_tokens_are_found_by_what_fires_on_them_and_what_raises_them(site: Client) -> None:
    view = site.store.dictionary("demo", "mlp-12")
    rows = site.store.rows(view, range(12))
    token = 20  # " word20"
    on = {n: dict(zip(r.fires_on.ids.tolist(), r.fires_on.weights.tolist(), strict=True))
          for n, r in rows.items() if r.fires_on is not None}  # fmt: skip
    raised = {n: dict(zip(r.raised.ids.tolist(), r.raised.weights.tolist(), strict=True))
              for n, r in rows.items()}  # fmt: skip
    for kind, by in (("on", on), ("raises", raised)):
        wanted = sorted((-w[token], n) for n, w in by.items() if w.get(token, 0) > 0)
        found = groups(site, "word20", d="demo/mlp-12", k=kind).get(kind, [])
        assert [index for _, index in found] == [index for _, index in wanted]
        assert wanted


@pytest.mark.parametrize(
    "typed", ["\\n", "⏎", "é世界", "SELF", "self", " self", "<script>", "\x00"]
)
def test_tokens_are_spelled_in_several_ways(site: Client, typed: str) -> None:
    assert groups(site, typed)["on"]


def test_one_kind_alone_and_one_dictionary_have_addresses(site: Client) -> None:
    page = site.get("/search?q=word2").text
    assert 'href="/search?q=word2&amp;k=raises"' in page
    assert 'href="/search?q=word2&amp;d=demo/neurons"' in page
    assert set(groups(site, "word2", k="raises")) == {"raises"}
    narrow = groups(site, "word2", d="demo/neurons")
    assert {name for hits in narrow.values() for name, _ in hits} == {"neurons"}


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Type a number, words, or a token"),
        ("   ", "Type a number, words, or a token"),
        ("no such thing anywhere", "Nothing fits."),
        ("\x01", "Nothing fits."),
        ("*", "Nothing fits."),
        ("NEAR(", "Nothing fits."),
        ("'\"", "Nothing fits."),
        ("x" * 10_000, "A search has at most 400 characters; this one has 10,000."),
    ],
)
def test_whatever_is_typed_gets_a_sentence(site: Client, typed: str, sentence: str) -> None:
    page = site.get("/search?" + urlencode({"q": typed}))
    assert sentence in page.text
    assert page.status_code == (422 if len(typed) > 400 else 200)
    below = site.get("/search/matches?" + urlencode({"q": typed}))
    assert below.status_code == 200
    assert sentence in below.text or not typed.strip()
    answer = site.get("/api/v1/search?" + urlencode({"q": typed}))
    assert sentence in answer.json()["note" if answer.status_code == 200 else "detail"]


@pytest.mark.parametrize("typed", ["word", "wo", "w", "o", "d"])
def test_a_text_that_nearly_everything_fits_is_bounded(site: Client, typed: str) -> None:
    for hits in groups(site, typed).values():
        assert len(hits) <= 8


def test_what_does_not_exist_is_a_sentence(site: Client) -> None:
    wrong = site.get("/search?q=x&d=demo/nosuch")
    assert wrong.status_code == 404
    assert "There is no dictionary &#39;demo/nosuch&#39;; there are demo/mlp-12" in wrong.text
    assert site.get("/api/v1/search?q=x&k=nosuch").status_code == 422


def test_the_results_alone_are_what_the_page_holds(site: Client) -> None:
    part = site.fragment("/search?q=word2").text
    assert part.lstrip().startswith('<div id="results"')
    strip = re.compile(r"\s+")
    assert strip.sub("", part) in strip.sub("", site.get("/search?q=word2").text)
