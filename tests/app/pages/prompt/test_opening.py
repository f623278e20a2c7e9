"""A prompt is read in the one way that the dictionaries in question were harvested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from app.settings import Settings
from app.store.store import open_store
from app.worker.protocol.requests import AblateRequest, ReadRequest
from tests import factories
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.clients import client
from tests.app.pretend.prompt_site import BOTH, PROMPT, Prompts, address
from tests.app.pretend.prompts import PretendPrompts

WITH = "Read with <|endoftext|> before it, as this dictionary's text was."
WITHOUT = "Read without <|endoftext|> before it, as this dictionary's text was."


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[Prompts]:
    """`mlp-12` was harvested with BOS before each text, `bare` and the neurons without."""
    live = PretendPrompts()
    with open_store(Settings(home=tmp_path)) as store:
        factories.publish(store, factories.sample(details={"prepend_bos": True}))
        for sample in (
            factories.sample(dictionary="bare", details={"prepend_bos": False}),
            factories.neurons_sample(),
        ):
            details = {**sample.dictionary.details, "prepend_bos": False}
            bare = replace(sample, dictionary=replace(sample.dictionary, details=details))
            factories.publish(store, bare)
        with client(store, tmp_path, live) as site:
            yield Prompts(site, live)


def shown(page: str) -> str:
    return unescape(words(page))


def opened(asked: Prompts) -> list[bool]:
    """Whether BOS was to open each text that the worker was asked to read."""
    return [r.model.prepend_bos for r in asked.live.asked if isinstance(r, ReadRequest)]


def test_the_page_says_how_a_prompt_was_read(mixed: Prompts) -> None:
    page = shown(mixed.page(d="mlp-12"))
    assert WITH in page
    assert "bare, neurons read texts without it: choose them alone to read it so." in page
    page = shown(mixed.page(d="neurons"))
    assert WITHOUT in page
    assert "mlp-12 reads texts with it: choose it alone to read it so." in page
    assert opened(mixed) == [True, False]


def test_dictionaries_that_differ_are_not_read_together(mixed: Prompts) -> None:
    mixed.page()
    request = mixed.live.asked[-1]
    assert isinstance(request, ReadRequest)
    read = len(request.dictionaries)
    other = mixed.page(feature="bare:3" if request.model.prepend_bos else "mlp-12:3")
    assert read < 3
    assert other
    assert opened(mixed)[-1] is not opened(mixed)[0]


def test_a_feature_is_ablated_in_a_prompt_of_its_own_opening(mixed: Prompts) -> None:
    for name, opens in (("mlp-12", True), ("bare", False)):
        question = {"prompt": PROMPT, "dictionary": name, "feature": 2}
        assert mixed.site.http.post("/api/v1/m/demo/ablation", json=question).status_code == 200
        assert opened(mixed)[-1] is opens
        ablation = mixed.live.asked[-1]
        assert isinstance(ablation, AblateRequest)
        assert ablation.model.prepend_bos is opens


def test_a_question_about_both_is_refused(mixed: Prompts) -> None:
    question = {"prompt": PROMPT, "dictionaries": ["mlp-12", "bare"]}
    answer = mixed.site.http.post("/api/v1/m/demo/activations", json=question)
    assert answer.status_code == 422
    assert "mlp-12 reads texts with the token that opens them, bare without" in answer.text
    edits = [
        {"dictionary": name, "feature": 2, "mode": "add", "strength": 1.0}
        for name in ("mlp-12", "bare")
    ]
    steering = {"prompt": PROMPT, "edits": edits, "n_tokens": 3}
    answer = mixed.site.http.post("/api/v1/m/demo/steer", json=steering)
    assert answer.status_code == 422
    assert "one text cannot be both" in answer.text


def test_where_all_are_alike_nothing_else_is_said(on: Prompts) -> None:
    page = shown(on.site.get(address(PROMPT, d=BOTH)).text)
    assert "Read with <|endoftext|> before it, as these dictionaries' texts were." in page
    assert "choose" not in page.partition("texts were.")[2][:40]
