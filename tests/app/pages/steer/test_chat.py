"""Conversations as JSON and as a page: what the worker is asked, what is said of each token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidRequest
from app.pages.steer.chat.lines import read_lines, written_lines
from app.pages.steer.chat.schema import MOST_TURNS, SaidTurn
from app.pages.steer.chat.words import (
    WordSpan,
    expected_words,
    replaced,
    synonyms,
    without,
    words_of,
)
from app.settings import Settings
from app.store.store import open_store
from app.worker.client.references import dictionary_ref
from app.worker.protocol.chats import ChatRequest
from app.worker.protocol.requests import OccludeRequest, ReadRequest
from sae_core.text.chat.template import ChatTemplate
from tests import factories
from tests.app.pages.steer.chatting import chatting
from tests.app.pretend.clients import Client, client
from tests.app.pretend.prompts import PretendPrompts, firings_of

API = "/api/v1/m/demo/chat"
TURNS = [{"role": "user", "content": " self word20"}, {"role": "user", "content": " word21"}]


@pytest.fixture
def site(prompt_client: Client, pretend_prompts: PretendPrompts) -> Iterator[Client]:
    pretend_prompts.reset()
    prompt_client.forget_prompts()
    with chatting():
        yield prompt_client


def post(site: Client, path: str, **body: Any) -> Any:
    return site.http.post(f"{API}{path}", json={"turns": TURNS} | body)


def test_each_token_has_its_turn_and_its_part(site: Client) -> None:
    answer = post(site, "/reading").json()
    tokens = answer["tokens"]
    assert [t["id"] for t in tokens] == [0, 3, 1, 20, 2, 3, 21, 2]  # BOS once, first
    assert [t["turn"] for t in tokens] == [-1, 0, 0, 0, 0, 1, 1, 1]
    special, template, content = "special", "template", "content"
    assert [t["part"] for t in tokens] == [
        *(special, template, content, content, template),
        *(template, content, template),
    ]
    assert answer["template"] == "model"
    assert tokens[0]["features"] == []
    known = {name["index"] for name in answer["names"]}
    assert all(set(t["features"]) <= known for t in tokens)


def test_a_trait_is_the_mean_of_activation_by_maximum(site: Client) -> None:
    store = site.store
    view = store.dictionary("demo", "mlp-12")
    rows = store.rows(view, range(12))
    alive = [index for index, row in rows.items() if row.maximum > 0][:2]
    dead = next(index for index, row in rows.items() if row.maximum == 0)
    made = store.lists.create("a trait <b>", dictionary=view, features=[*alive, dead])
    answer = post(site, "/reading", traits=[made.name]).json()
    (trait,) = answer["traits"]
    assert (trait["features"], trait["left_out"]) == (2, 1)
    ids = [t["id"] for t in answer["tokens"]]
    positions, features, values = firings_of(ids, dictionary_ref(view))
    levels = np.zeros(len(ids))
    for index in alive:
        here = features == index
        levels[positions[here]] += values[here].astype(float) / rows[index].maximum / 2
    assert [t["traits"][0] for t in answer["tokens"]] == pytest.approx(levels.tolist(), rel=1e-6)
    # Only what is said counts: not the template's own tokens.
    assert trait["turns"] == pytest.approx([levels[[2, 3]].mean(), levels[6]], rel=1e-6)
    page = site.get(f"/m/demo/chat?trait={made.name}").text
    assert "a trait &lt;b&gt;" in page
    assert f'value="{made.name}" data-title="a trait &lt;b&gt;" checked' in page


@pytest.mark.parametrize("name", ["mlp-12", "bare"])
def test_a_conversation_opens_as_the_dictionary_that_reads_it_was_harvested(
    tmp_path: Path, name: str
) -> None:
    """With BOS or without, and the answer the same as the reading."""
    live = PretendPrompts()
    with open_store(Settings(home=tmp_path)) as store, chatting():
        factories.publish(store, factories.sample(details={"prepend_bos": True}))
        factories.publish(
            store, factories.sample(dictionary="bare", details={"prepend_bos": False})
        )
        with client(store, tmp_path, live) as site:
            body = {"turns": TURNS[:1], "dictionary": name}
            tokens = site.http.post(f"{API}/reading", json=body).json()["tokens"]
            site.http.post(f"{API}/cue", json=body | {"feature": 8})
            live.error = InvalidRequest("enough", "turns")
            site.http.post(API, json=body)
            site.http.post(f"{API}/cue/answer", json=body | {"feature": 8})
    opens = name == "mlp-12"
    assert [token["id"] for token in tokens] == [*([0] if opens else []), 3, 1, 20, 2]
    read = [r for r in live.asked if isinstance(r, ReadRequest)]
    answered = [r for r in live.asked if isinstance(r, ChatRequest)]
    assert len(read) >= 1
    assert len(answered) == 2
    assert {request.model.prepend_bos for request in (*read, *answered)} == {opens}


def test_an_unknown_list_or_dictionary_is_named(site: Client) -> None:
    page = site.get("/m/demo/chat?trait=no+such+%3Cb%3E&trait=no+such+%3Cb%3E").text
    assert page.count("There is no list <bdi>no such &lt;b&gt;</bdi>") == 1
    assert post(site, "/reading", traits=["nothing"]).status_code == 404
    assert post(site, "/reading", dictionary="nothing").status_code == 404


def test_both_answers_are_asked_for(site: Client, pretend_prompts: PretendPrompts) -> None:
    pretend_prompts.error = InvalidRequest("enough", "turns")
    edit = {"dictionary": "mlp-12", "feature": 2, "strength": 1.5}
    post(site, "", edits=[edit], n_tokens=3, seed=7, scope="contents")
    request = pretend_prompts.asked[-1]
    assert isinstance(request, ChatRequest)
    assert [(t.role, t.content) for t in request.turns] == [
        (t["role"], t["content"]) for t in TURNS
    ]
    assert (request.n_tokens, request.sampling.seed, request.template) == (3, 7, None)
    assert [e.feature for e in request.edits] == [2]
    assert (request.scope, len(request.watch), request.traits) == ("contents", 1, ())


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([{"role": "tool", "content": "x"}], "no role tool"),
        ([{"role": "two words", "content": "x"}], "is no role"),
        ([], "at least 1"),
        ([{"role": "user", "content": "x"}] * (MOST_TURNS + 1), "at most 200"),
        ([{"role": "user"}], "content"),
    ],
)
def test_turns_that_cannot_be_used(site: Client, turns: Any, words: str) -> None:
    for path in ("", "/reading"):
        answer = site.http.post(f"{API}{path}", json={"turns": turns})
        assert answer.status_code == 422
        assert words in answer.json()["detail"]


def test_a_broken_template_is_a_sentence(site: Client) -> None:
    with chatting(ChatTemplate("{{ nothing.there }}")):
        answer = post(site, "/reading")
    assert answer.status_code == 422
    assert "template is broken" in answer.json()["detail"]


def test_a_cue_is_taken_apart_and_reworded(site: Client, pretend_prompts: PretendPrompts) -> None:
    # Feature 8 fires on word20 (20 % 12) and nowhere else in what is said.
    turns = [{"role": "user", "content": " word20 word30"}]
    answer = site.http.post(
        f"{API}/cue", json={"turns": turns, "dictionary": "mlp-12", "feature": 8}
    ).json()
    assert answer["turn"] == 0
    assert answer["token"].endswith("word20")
    own = next(word for word in answer["words"] if word["loss"] is None)
    assert own == {"word": "word20", "start": 1, "loss": None}
    # What leaves it as strong as it is, or makes it stronger, is no way to silence it.
    assert all(r["activation"] < answer["activation"] for r in answer["rewordings"])
    left_out = next(r for r in answer["rewordings"] if r["source"] == "left out")
    assert left_out["content"] in (" word30", "word30")
    activations = [r["activation"] for r in answer["rewordings"]]
    assert activations == sorted(activations)
    kinds = {type(request) for request in pretend_prompts.asked}
    assert kinds == {ReadRequest, OccludeRequest}


def test_a_feature_that_is_silent_has_no_words(site: Client) -> None:
    turns = [{"role": "user", "content": ""}]
    answer = site.http.post(
        f"{API}/cue", json={"turns": turns, "dictionary": "mlp-12", "feature": 8}
    ).json()
    assert (answer["token"], answer["words"], answer["rewordings"]) == ("", [], [])


def test_a_cue_that_cannot_be_studied(site: Client) -> None:
    body = {"dictionary": "mlp-12", "feature": 8}
    assert post(site, "/cue", **body, turn=2).status_code == 422
    assert post(site, "/cue", **body | {"feature": 99}).status_code == 422
    assert post(site, "/cue", **body | {"dictionary": "x"}).status_code == 404


def test_lines_come_back_as_they_were() -> None:
    turns = (
        SaidTurn(role="system", content="</script>\u2028\n"),
        SaidTurn(role="user", content="é🙂"),
    )
    assert read_lines(written_lines(turns)) == turns
    whole = json.dumps({"messages": [turn.model_dump() for turn in turns]})
    assert read_lines(f"\ufeff{whole}\n\n") == turns


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "every line is empty"),
        ("{", "Line 1 is not JSON"),
        ("[" * 20_000, "is not JSON"),
        ("\n7", "Line 2 is no turn"),
        ('{"role": "user"}', "Line 1 is no turn"),
        ('{"role": "user", "content": 7}', "Line 1"),
        ('{"role": "user", "content": "\\ud800"}', "content cannot be"),
        ('{"messages": []}\n{"messages": []}', "second conversation"),
        ('{"role": "user", "content": "x"}\n' * (MOST_TURNS + 1), "at most 200 turns"),
    ],
)
def test_lines_that_are_no_conversation(site: Client, lines: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read_lines(lines)
    answer = site.http.post(f"{API}/lines", json={"lines": lines})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_lines_are_checked_by_the_interface(site: Client) -> None:
    line = '{"content": "x", "role": "user"}'
    answer = site.http.post(f"{API}/lines", json={"lines": line}).json()
    assert answer["turns"] == [{"role": "user", "content": "x"}]
    assert answer["lines"] == '{"role": "user", "content": "x"}\n'


def test_words_and_what_stands_in_their_place() -> None:
    text = "Don't be Sad, friend"
    words = words_of(text)
    assert [w.text for w in words] == ["Don't", "be", "Sad", "friend"]
    assert without(text, words[0]) == "be Sad, friend"
    assert without(text, words[2]) == "Don't be, friend"
    assert without(text, words[3]) == "Don't be Sad,"
    assert without("sad", WordSpan("sad", 0, 3)) == ""
    assert replaced(text, words[2], "Glad") == "Don't be Glad, friend"
    assert synonyms("SAD") == ["UNHAPPY", "SORRY"]
    assert synonyms("Sad") == ["Unhappy", "Sorry"]
    assert synonyms("zebra") == []
    assert expected_words("sad", [" glad", "ly.", " sad", "\n", " glad", "x1"]) == ["glad"]


def test_the_page(site: Client) -> None:
    page = site.get("/m/demo/chat?f=mlp-12:2:add:1&n=7&temperature=0.5")
    assert page.status_code == 200
    assert 'data-feature="mlp-12:2"' in page.text
    assert 'name="n" id="n" value="7" data-default="64"' in page.text
    assert "has no chat template" not in page.text
    assert site.get("/m/demo/chat?f=mlp-12:2:add:much").status_code == 422
    with chatting(ChatTemplate.plain()):
        assert "has no chat template" in site.get("/m/demo/chat").text


def test_the_page_of_a_model_whose_files_are_gone(prompt_client: Client) -> None:
    page = prompt_client.get("/m/demo/chat")
    assert page.status_code == 200
    assert 'role="alert"' in page.text
    assert "data-refused" in page.text
