"""The prompt page over a worker that pretends."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import event

from app.rendering.numbers import decimals
from app.store.store import Store
from app.web.headers import CONTENT_SECURITY_POLICY
from app.worker.protocol.requests import (
    AblateRequest,
    AttributeRequest,
    OccludeRequest,
    ReadRequest,
    TogetherRequest,
)
from tests import factories
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.clients import client, filled
from tests.app.pretend.prompt_site import BOTH, PAGE, PROMPT, ROW, Prompts, address, rows
from tests.app.pretend.prompts import PretendPrompts, change_of, firings_of, tokens_of


def test_without_a_prompt_the_page_asks_for_one(on: Prompts) -> None:
    page = on.page(None)
    assert "Write or paste one" in words(page)
    assert "<textarea" in page
    assert on.live.asked == []


def test_a_prompt_is_shown_as_tokens_with_all_that_fires(on: Prompts) -> None:
    page = on.page()
    tokens = tokens_of(PROMPT)
    assert page.count("<bdi role=option") == len(tokens) + 1
    expected = set()
    for place, ref in enumerate(on.live.asked[0].dictionaries):  # type: ignore[attr-defined]
        expected |= {(place, feature) for feature in firings_of(tokens, ref)[1].tolist()}
    assert set(rows(page)) == expected
    assert f"{len(expected)} active features" in words(page)
    assert len(on.live.asked) == 1


def test_maximum_sum_density_and_share_are_those_of_the_store(on: Prompts) -> None:
    page = on.page(d="mlp-12")
    store = on.site.store
    view = store.dictionary("demo", "mlp-12")
    _, features, values = firings_of(tokens_of(PROMPT), on.live.asked[0].dictionaries[0])  # type: ignore[attr-defined]
    known = store.rows(view, features.tolist())
    for _, index, row in ROW.findall(page):
        mine = values[features == int(index)]
        said = words(row)
        digits = decimals(known[int(index)].maximum or mine.max())
        assert f"{mine.max():.{digits}f} {mine.sum():.{digits}f}" in said
        stored = known[int(index)]
        if stored.maximum:
            share = 100 * mine.max() / stored.maximum
            assert (f"{share:.0f} %" if share >= 10 else f"{share:.1f} %") in said


@pytest.mark.parametrize("sort", ["activation", "share", "rarity"])
def test_the_table_has_each_order(on: Prompts, sort: str) -> None:
    page = on.page(sort=sort)
    column = {"activation": "activation", "share": "of its maximum", "rarity": "rarity"}[sort]
    cells = re.findall(rf'data-name="{column}">(.*?)</td>', page, re.S)
    shown = [float(words(cell).replace("%", "")) for cell in cells]
    assert shown == sorted(shown, reverse=True)
    assert page.count('aria-sort="descending"') == 1


def test_the_formula_of_rarity_stands_on_the_page(on: Prompts) -> None:
    assert "Rarity: share of the feature's maximum × −log₁₀ of its density." in unescape(
        words(on.page())
    )


def test_labels_go_before_logit_tokens(tmp_path: Path, sqlite_store: Store) -> None:
    live = PretendPrompts()
    view = sqlite_store.dictionary("demo", "mlp-12")
    for index in range(12):
        sqlite_store.labels.add(view, index, f"<i>label {index}</i>")
    with client(sqlite_store, tmp_path, live) as site:
        page = site.get(address()).text
    assert "&lt;i&gt;label 1&lt;/i&gt;" in page
    assert "<i>label" not in page


def test_a_token_shows_what_fires_there(on: Prompts) -> None:
    page = on.page(token=3)
    refs = on.live.asked[0].dictionaries  # type: ignore[attr-defined]
    expected = set()
    for place, ref in enumerate(refs):
        positions, features, _ = firings_of(tokens_of(PROMPT), ref)
        expected |= {(place, feature) for feature in features[positions == 3].tolist()}
    assert set(rows(page)) == expected
    assert "token 3, id 20" in words(page)
    assert page.count("aria-selected=true") == 1
    assert 'data-name="sum"' not in page


def test_the_place_after_the_prompt_can_be_chosen(on: Prompts) -> None:
    page = on.page(token=len(tokens_of(PROMPT)))
    assert "The token after the prompt" in page
    assert "40.0 %" in words(page)
    assert len(rows(page)) == len(rows(on.page()))


def test_a_feature_highlights_the_prompt_with_its_ablation(on: Prompts) -> None:
    page = on.page(feature="mlp-12:8")
    strip = re.search(r'<p class="strip choosable".*?</p>', page, re.S)
    assert strip
    positions, features, _ = firings_of(tokens_of(PROMPT), on.live.asked[0].dictionaries[0])  # type: ignore[attr-defined]
    coloured = [
        place
        for place, look in enumerate(re.findall(r"<bdi role=option([^>]*)>", strip[0]))
        if re.search(r'class="a\d+', look)
    ]
    assert coloured == positions[features == 8].tolist()
    assert re.search(r'class="[^"]*[un]\d', strip[0])
    assert [type(one) for one in on.live.asked] == [ReadRequest, AblateRequest]
    assert 'id="f-0-8" class="chosen"' in page


def test_a_feature_of_another_dictionary_is_read_along(on: Prompts) -> None:
    on.page(d="mlp-12", feature="neurons:1")
    assert len(on.live.asked[0].dictionaries) == 2  # type: ignore[attr-defined]


def test_why_it_fires_token_by_token(on: Prompts) -> None:
    page = on.page(feature="mlp-12:8", why="out")
    (asked,) = (one for one in on.live.asked if isinstance(one, OccludeRequest))
    assert asked.replacement is None
    assert "each token in turn is left out" in words(page)
    reasons = page[page.index('id="reasons"') :]
    assert re.search(r">\+[\d.]+</td>", reasons)
    assert re.search(r">−[\d.]+</td>", reasons)
    assert 'class="rises"' in reasons
    assert 'class="falls"' in reasons
    replaced = on.page(feature="mlp-12:8", why="replaced")
    assert "replaced by ⏎" in words(replaced)
    on.page(feature="mlp-12:8", why="replaced", neutral="word20")
    assert [one.replacement for one in on.live.asked if isinstance(one, OccludeRequest)] == [
        None,
        3,
        20,
    ]


def test_why_is_read_at_the_chosen_token_where_the_feature_fires(on: Prompts) -> None:
    positions, features, _ = firings_of(tokens_of(PROMPT), on_ref(on))
    where = positions[features == 8].tolist()
    on.page(feature="mlp-12:8", why="out", token=where[-1])
    elsewhere = next(p for p in range(1, 9) if p not in where)
    on.page(feature="mlp-12:8", why="out", token=elsewhere)
    asked = [one.position for one in on.live.asked if isinstance(one, OccludeRequest)]
    assert asked == [where[-1], None]


def on_ref(on: Prompts):  # type: ignore[no-untyped-def]
    on.page()
    return on.live.asked[0].dictionaries[0]  # type: ignore[attr-defined]


def test_the_exact_table_of_responsible_features_is_waited_for(on: Prompts) -> None:
    page = on.page(target=5, exact=1, d=BOTH)
    assert "Responsible for ␣ word21 at token 5" in words(page)
    said = re.findall(r'<tr id="e-(\d)-(\d+)".*?data-name="exact">([^<]*)</td>', page, re.S)
    asked = [one for one in on.live.asked if isinstance(one, AttributeRequest)]
    assert [(one.position, one.target) for one in asked] == [(5, 21)] * 2
    assert said
    sizes = []
    for _, index, exact in said:
        value = float(exact.replace("−", "-"))
        assert value == pytest.approx(change_of(int(index), 5, 21), abs=1e-3)
        sizes.append(abs(value))
    assert sizes == sorted(sizes, reverse=True)
    assert "data-stream" not in page
    assert "off by" in words(page)


def test_estimates_are_streamed_where_nobody_waits(on: Prompts) -> None:
    page = on.page(target=5)
    assert f'data-stream="{PAGE}/effects"' in page
    assert "<noscript><p" in page
    assert not [one for one in on.live.asked if isinstance(one, AttributeRequest)]
    query = re.search(r'data-query="([^"]*)"', page)
    assert query
    with on.site.http.stream(
        "POST", f"{PAGE}/effects", json={"query": unescape(query[1])}
    ) as answer:
        body = answer.read().decode()
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert body.count("event: table") >= 1
    assert body.endswith('event: done\ndata: {"event":"done"}\n\n')
    # What was streamed is remembered: the page has it at once, and may be sorted by it.
    before = len(on.live.asked)
    again = on.page(target=5)
    assert "data-stream" not in again
    assert 'data-name="effect"' in again
    by_effect = on.page(target=5, sort="effect")
    assert len(on.live.asked) == before
    shown = re.findall(r'data-name="effect">([^<]*)<', by_effect)
    sizes = [abs(float(value.replace("−", "-"))) for value in shown]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0


def test_another_token_in_the_place_of_one(on: Prompts) -> None:
    page = on.page(target=5, instead="word30", exact=1, d=BOTH)
    assert "which does not stand there" in words(page)
    after = on.page(target="self", exact=1, d=BOTH)
    assert "after the prompt" in words(after)
    likeliest = on.page(target=len(tokens_of(PROMPT)), exact=1, d=BOTH)
    assert "the likeliest" in words(likeliest)
    asked = [
        (one.position, one.target) for one in on.live.asked if isinstance(one, AttributeRequest)
    ]
    n = len(tokens_of(PROMPT))
    assert asked == [(5, 30)] * 2 + [(n, 1)] * 2 + [(n, (tokens_of(PROMPT)[-1] * 3 + 1) % 64)] * 2


def test_a_set_is_ablated_together_and_does_not_add_up(on: Prompts) -> None:
    chosen = ["mlp-12:1", "mlp-12:8", "neurons:3"]
    page = on.page(target=5, a=chosen, exact=1, d=BOTH)
    singles = [change_of(1, 5, 21), change_of(8, 5, 21)]
    said = words(page)
    assert f"ablated together {0.8 * sum(singles):+.3f}".replace("-", "−") in said
    assert f"sum of each alone {sum(singles):+.3f}".replace("-", "−") in said
    assert f"not additive {-0.2 * sum(singles):+.3f}".replace("-", "−") in said
    assert page.count("checked aria-label") == len(
        [one for one in chosen if f'value="{one}" checked' in page]
    )
    asked = [one.features for one in on.live.asked if isinstance(one, TogetherRequest)]
    assert asked == [(1, 8), (3,)]


def test_a_set_is_known_without_all_single_effects(on: Prompts) -> None:
    on.page(target=5, a=["mlp-12:1", "mlp-12:8"])
    asked = [one.features for one in on.live.asked if isinstance(one, AttributeRequest)]
    assert asked == [(1, 8)]


def test_two_prompts_side_by_side(on: Prompts) -> None:
    page = on.page(other=" self. word20 word29", feature="mlp-12:8")
    assert page.count('<p class="strip"') == 2
    for kind in ("gained", "lost", "stronger", "weaker"):
        assert f'id="{kind}"' in page
    (ablated,) = (one for one in on.live.asked if isinstance(one, AblateRequest))
    assert len(ablated.contexts) == 2
    assert 'id="features"' not in page
    same = on.page(other=PROMPT)
    assert "0 gained" in words(same)
    assert "0 stronger" in words(same)


def test_the_same_question_is_asked_once(on: Prompts) -> None:
    for query in ({}, {"token": 2}, {"sort": "rarity"}, {"all": 1}):
        on.page(**query)
    assert len(on.live.asked) == 1


def test_rows_are_bounded_until_all_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.pages.prompt.view.builder.MOST_ROWS", 5)
    monkeypatch.setattr("app.pages.prompt.view.effect_rows.MOST_EFFECTS", 5)
    with filled(tmp_path, PretendPrompts()) as site:
        page = site.get(address(target=5, exact=1, d=BOTH)).text
        assert len(rows(page)) == 5
        assert page.count('<tr id="e-') == 5
        assert re.search(r"Show all \d+", page)
        every = site.get(address(target=5, exact=1, all=1, d=BOTH)).text
        assert len(rows(every)) == 18
        assert every.count('<tr id="e-') > 5
        assert "Show all" not in every


def test_a_form_leads_to_the_address_of_what_was_typed(on: Prompts) -> None:
    answer = on.post(text="a\r\n b", other="", sort="", d="mlp-12", feature="mlp-12:3")
    assert answer.status_code == 303
    # The dictionary that is read where none is named need not be.
    assert answer.headers["location"] == f"{PAGE}?text=a%0A+b&feature=mlp-12:3"
    both = on.post(text="a", sort="activation", d=BOTH)
    assert both.headers["location"] == f"{PAGE}?text=a&d=mlp-12&d=neurons&sort=activation"
    one = on.post(text="a", sort="rarity", d="neurons")
    assert one.headers["location"] == f"{PAGE}?text=a&d=neurons&sort=rarity"


def test_every_state_is_a_document_and_a_fragment(on: Prompts) -> None:
    states = (
        {},
        {"token": 2},
        {"feature": "mlp-12:8", "why": "out"},
        {"target": 3, "exact": 1, "a": ["mlp-12:1"]},
        {"other": "word20"},
    )
    for state in states:
        page, fragment = on.get(PROMPT, **state), on.site.fragment(address(**state))
        assert page.text.startswith("<!doctype html>")
        assert fragment.text.lstrip().startswith('<div id="view"')
        assert "<noscript>" not in fragment.text, "scripts are on where fragments are asked for"
        assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        for html in (page.text, fragment.text):
            assert not re.search(r"<[^>]+\sstyle=", html)
            assert not re.search(r"<script(?![^>]*\ssrc=)[^>]*>", html)
            for tag in re.findall(r"<a [^>]*hx-get[^>]*>", html):
                found = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
                assert found["hx-get"] == found["href"]
            for tag in re.findall(r"<form [^>]*hx-get[^>]*>", html):
                found = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
                assert found["hx-get"] == found["action"]
        ids = re.findall(r'\sid="([^"]+)"', page.text)
        assert len(ids) == len(set(ids))


def test_forms_keep_the_rest_of_the_address(on: Prompts) -> None:
    page = on.page(token=2, feature="mlp-12:8", sort="share", d="mlp-12")
    form = re.search(r'<form id="to-token".*?</form>', page, re.S)
    assert form
    kept = re.findall(r'name="(\w+)" value="([^"]*)"', form[0])
    assert dict(kept) == {"text": PROMPT, "d": "mlp-12", "sort": "share", "feature": "mlp-12:8"}
    assert '<form id="to-steer" action="/m/demo/prompt/steer">' in page
    assert 'name="f" value="mlp-12:8"' in page
    steer = on.site.get(f"{PAGE}/steer?text=a%0D%0Ab&f=mlp-12:8")
    assert steer.status_code == 303
    assert steer.headers["location"] == "/m/demo/steer?text=a%0Ab&f=mlp-12:8"


def test_a_dictionary_that_is_not_harvested_is_not_offered(
    tmp_path: Path, sqlite_store: Store
) -> None:
    sqlite_store.add_dictionary(replace(factories.dictionary("raw"), checksum="e" * 64))
    with client(sqlite_store, tmp_path, PretendPrompts()) as site:
        page = site.get(address()).text
        assert 'value="raw"' not in page
        assert site.get(address(d="raw")).status_code == 404


def test_a_page_reads_the_rows_of_a_dictionary_in_one_statement(on: Prompts) -> None:
    on.page(d=BOTH)
    seen: list[str] = []
    engine = on.site.store.engine
    listener = lambda _c, _u, statement, *_: seen.append(statement)  # noqa: E731
    event.listen(engine, "before_cursor_execute", listener)
    try:
        on.page(d=BOTH)
    finally:
        event.remove(engine, "before_cursor_execute", listener)
    assert sum("summary" in statement for statement in seen) == 2
    assert sum(not statement.startswith("BEGIN") for statement in seen) <= 6
