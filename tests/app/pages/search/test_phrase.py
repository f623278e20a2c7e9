"""The search by phrase, on its page and as JSON, beside a count over the text by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from urllib.parse import urlencode

import pytest

from app.client import FeaturescopeClient
from app.pages.search.phrase import PhrasePage
from app.store.search.kept import KeptTexts
from app.web.search import phrase_search
from tests import factories
from tests.app.pretend.clients import Client, filled


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made:
        yield made


def page(typed: str, d: str = "demo/mlp-12") -> str:
    return "/search/phrase?" + urlencode({"q": typed, "d": d}, errors="surrogatepass")


def asked(site: Client, typed: str, d: str = "demo/mlp-12") -> dict:
    answer = site.get(f"/api/v1{page(typed, d)}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def by_hand(tokens: list[int], d_sae: int = 12) -> dict[int, tuple[int, int, int]]:
    """Firings inside, firings in all, and places with one, of each feature that fires inside."""
    texts = [window.tokens[1:].tolist() for window in factories.windows()]
    every = [token for text in texts for token in text]
    places = sum(text[n : n + len(tokens)] == tokens for text in texts for n in range(len(text)))
    made = {}
    for feature in range(d_sae):
        inside = places * sum(factories.fires_on(feature, token) for token in tokens)
        total = sum(factories.fires_on(feature, token) for token in every)
        if inside:
            made[feature] = (inside, total, places)
    return made


def a_pair() -> list[int]:
    """Two tokens that stand beside each other in the first window, words both."""
    tokens = factories.windows()[0].tokens.tolist()
    return next([a, b] for a, b in pairwise(tokens) if min(a, b) > 16)


@pytest.mark.parametrize("tokens", [[20], [1], a_pair()])
def test_figures_are_those_of_a_count_by_hand(site: Client, tokens: list[int]) -> None:
    typed = b"".join(factories.PIECES[token] for token in tokens).decode()
    answer, wanted = asked(site, typed), by_hand(tokens)
    assert {hit["index"] for hit in answer["features"]} == wanted.keys()
    assert answer["readings"][0]["tokens"] == [factories.PIECES[token].decode() for token in tokens]
    scores = [hit["score"] for hit in answer["features"]]
    assert scores == sorted(scores, reverse=True)
    for hit in answer["features"]:
        inside, total, places = wanted[hit["index"]]
        assert (hit["inside"], hit["firings"], hit["hits"]) == (inside, total, places)
        assert (answer["places"], answer["read"]) == (places, places)
        assert (hit["precision"], hit["recall"]) == (pytest.approx(inside / total), 1.0)
        assert hit["score"] == pytest.approx(2 * inside / (inside + total))
        on = [n for n, token in enumerate(tokens) if factories.fires_on(hit["index"], token)]
        assert hit["example"]["fires_on"] == on
        assert hit["places"] == [float(n in on) for n in range(len(tokens))]
        assert hit["example"]["phrase"] == typed


def test_a_leading_blank_may_be_left_out(site: Client) -> None:
    with_blank, without = asked(site, " word20"), asked(site, "word20")
    assert with_blank == without
    assert with_blank["places"] > 0
    assert asked(site, "ord20")["places"] == 0


def test_the_page_draws_the_place_and_stays_inert(site: Client) -> None:
    script = factories.PIECES[5].decode()
    text = site.get(page(script)).text
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert "<mark><bdi" in text
    found = site.get(page("word20")).text
    assert 'href="/d/demo/mlp-12/' in found
    assert "harvested tokens, which take" in found
    assert "places" in found


def test_special_tokens_are_no_text_by_chance(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = site.store.dictionary("demo", "mlp-12")
    text = site.store.search.kept.text(view)
    assert text is not None
    spoiled = text.tokens.copy()
    [special] = factories.vocabulary().special
    spoiled[:10] = special
    changed = replace(text, tokens=spoiled)
    monkeypatch.setattr(KeptTexts, "text", lambda *_: changed)
    results = phrase_search.PhraseSearch().search(site.store, view, "word20")
    assert results.n_tokens == text.n_tokens - 10
    for feature in results.features:
        lift = feature.inside / results.n_read / (feature.firings / results.n_tokens)
        assert feature.lift == pytest.approx(lift)


def test_python_says_what_json_says(site: Client) -> None:
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http)
    for typed in ("word20", " .\n", "\0", "\ud800 half a character"):
        answer = client.search.by_phrase(typed, dictionary="demo/mlp-12")
        assert answer.model_dump(mode="json") == asked(site, typed)


def test_where_it_stands_nowhere_the_nearest_is_named(site: Client) -> None:
    text = site.get(page("word20 nosuchthing"))
    assert text.status_code == 200
    assert "does not say" in text.text
    answer = asked(site, "word20 nosuchthing")
    assert (answer["features"], answer["nearest"]) == ([], "word20")
    assert 'href="/search/phrase?q=word20&amp;d=demo/mlp-12"' in text.text
    assert asked(site, "qqq")["nearest"] == ""


def test_where_it_stands_everywhere_a_part_is_read(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = asked(site, ".")
    monkeypatch.setattr(phrase_search, "MOST_WINDOWS", 10)
    part = asked(site, ".")
    assert part["places"] == whole["places"] > part["read"] > 0
    for hit in part["features"]:
        # A feature fires on this token wherever it stands: nothing is left to chance.
        other = next(line for line in whole["features"] if line["index"] == hit["index"])
        assert hit["precision"] == pytest.approx(other["precision"])
        assert hit["recall"] == 1.0


def test_the_field_can_be_sent_again(site: Client) -> None:
    # A field of one line drops line breaks, and changes NUL.
    for typed, shown in (("\n", r"\n"), ("a\t\0\x7f b\r", r"a\t\x00\x7f b\r")):
        assert f'value="{shown}"' in site.get(page(typed)).text
        answer, again = asked(site, typed), asked(site, shown)
        assert (answer["places"], answer["features"]) == (again["places"], again["features"])


def test_browsers_do_not_fill_in_what_was_asked_after_it(site: Client) -> None:
    # After "back" they would put what was typed next beside the answer to what was typed before.
    for address in (page("word20"), "/search/meaning", "/search/example"):
        [form] = re.findall('<form class="examples"[^>]*>', site.get(address).text)
        assert 'autocomplete="off"' in form


def test_a_p_value_that_is_a_bound_says_so(site: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "≤" not in site.get(page("word20")).text
    monkeypatch.setattr(PhrasePage, "least_p", 1.0)
    assert 'data-name="p">≤' in site.get(page("word20")).text


def test_what_is_typed_goes_along_to_other_searches(site: Client) -> None:
    for by in ("?", "/meaning?"):
        assert f'href="/search{by}q=word20&amp;d=demo/mlp-12"' in site.get(page("word20")).text
    assert 'href="/search/phrase?q=word20"' in site.get("/search?q=word20").text
    assert 'href="/search/phrase?q=word20"' in site.fragment("/search?q=word20").text


@pytest.mark.parametrize(
    "typed", [" ", "\\n", "⏎", "\t", "%00", "\x00", "\ud800", "*", "é世界🙂", "    "]
)
def test_any_text_is_answered(site: Client, typed: str) -> None:
    assert site.get(page(typed)).status_code == 200
    assert site.get(f"/api/v1{page(typed)}").status_code == 200


def test_what_cannot_be_asked_is_a_sentence(site: Client) -> None:
    for typed, sentence in (
        ("x" * 401, "A phrase has at most 400 characters; this one has 401."),
        ("x" * 50_000, "A phrase has at most 400 characters; this one has 50,000."),
    ):
        answer = site.get(page(typed))
        assert (answer.status_code, sentence in answer.text) == (422, True)
        answer = site.get(f"/api/v1{page(typed)}")
        assert (answer.status_code, answer.json()["detail"]) == (422, sentence)
    assert site.get("/search/phrase").status_code == 200
    assert site.get("/api/v1/search/phrase").status_code == 422


def test_without_a_text_the_page_says_what_to_do(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeptTexts, "size", lambda *_: None)
    monkeypatch.setattr(KeptTexts, "text", lambda *_: None)
    answer = site.get(page("word20", "demo/neurons"))
    assert (answer.status_code, "keeps no text to find phrases in" in answer.text) == (422, True)
    assert site.get("/search/phrase").status_code == 200
