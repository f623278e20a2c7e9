"""Both answers to a conversation, as the JSON interface and the Python client say them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.client import Edit, FeaturescopeClient
from app.pages.steer.chat.schema import AnswerEvent
from app.worker.protocol.chats import ChatRequest
from tests.app.pages.steer.chatting import chatting
from tests.app.pretend.chats import PretendChats
from tests.app.pretend.clients import Client, filled
from tests.app.web.test_stream import parsed

TURNS = [{"role": "user", "content": " self"}]


@pytest.fixture(scope="module")
def worker() -> PretendChats:
    return PretendChats()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, worker: PretendChats) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("chat"), worker) as made, chatting():
        view = made.store.dictionary("demo", "mlp-12")
        made.store.lists.create("kind", dictionary=view, features=[0, 2])
        yield made


def test_what_was_watched_stands_with_each_answer(site: Client, worker: PretendChats) -> None:
    body = {"turns": TURNS, "traits": ["kind"], "dictionary": "mlp-12"}
    events = parsed(site.http.post("/api/v1/m/demo/chat", json=body).text)
    names = [name for name, _ in events]
    assert names == ["began", *["token"] * 3, "answer", *["token"] * 2, "answer", "done"]
    answer = events[-2][1]
    assert (answer["pane"], answer["text"], answer["why"]) == (
        "steered",
        " word30 word31",
        "length",
    )
    # Only the answer's own tokens: they stand behind the three of the conversation.
    assert (answer["followed"], answer["traits"], answer["levels"]) == (
        ["kind"],
        [[1, 1.25]],
        [1.125],
    )
    assert answer["features"] == [[2], [2]]
    assert [name["index"] for name in answer["names"]] == [2]
    request = worker.asked[-1]
    assert isinstance(request, ChatRequest)
    rows = site.store.rows(site.store.dictionary("demo", "mlp-12"), [0, 2])
    weights = {member.feature: member.weight for member in request.traits[0].members}
    assert weights == pytest.approx({index: 0.5 / row.maximum for index, row in rows.items()})


def test_the_client_has_a_twin_of_each_address(site: Client) -> None:
    chats = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).chats
    edit = Edit(dictionary="mlp-12", feature=2, strength=1)
    events = list(chats.answer("demo", TURNS, [edit], scope="answer", n_tokens=2))
    answers = {event.pane: event for event in events if isinstance(event, AnswerEvent)}
    assert answers["unsteered"].text == " word20 word21 word22"
    reading = chats.reading("demo", TURNS, traits=["kind"])
    assert [token.part for token in reading.tokens] == [
        "special",
        "template",
        "content",
        "template",
    ]
    assert chats.cue("demo", TURNS, "mlp-12", 1).turn == 0
    assert chats.lines("demo", '{"role": "user", "content": "x"}').turns[0].content == "x"
