"""Both answers to a conversation, as the JSON interface and the Python client say them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.client import Edit, FeaturescopeClient
from app.pages.steer.chat.schema import AnswerEvent
from app.worker.protocol.chats import ChatRequest
from tests.app.pages.steer.chatting import chatting
from tests.app.pretend import chats
from tests.app.pretend.chats import PretendChats
from tests.app.pretend.clients import Client, filled
from tests.app.pretend.monitors import record as monitor_record
from tests.app.web.test_stream import parsed, wait

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


def test_a_character_stands_with_the_token_that_completes_it(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token 10 holds the first two bytes of three; what comes then shows that the third never
    came."""
    monkeypatch.setitem(chats.WORDS, "steered", (10, 11, 30))
    events = parsed(site.http.post("/api/v1/m/demo/chat", json={"turns": TURNS}).text)
    texts = [e["text"] for name, e in events if name == "token" and e["pane"] == "steered"]
    assert texts == ["", "\ufffdé世界🙂", " word30"]


def test_the_steered_answer_alone(site: Client, worker: PretendChats) -> None:
    events = parsed(
        site.http.post("/api/v1/m/demo/chat", json={"turns": TURNS, "alone": True}).text
    )
    assert {event["pane"] for name, event in events if name in ("token", "answer")} == {"steered"}
    request = worker.asked[-1]
    assert isinstance(request, ChatRequest)
    assert request.alone


def test_monitors_watch_and_their_alarms_are_told_and_kept(
    site: Client, worker: PretendChats
) -> None:
    monitors = site.store.audit.monitors
    kept = monitors.save(monitor_record("watch"))
    body = {"turns": TURNS, "dictionary": "mlp-12", "monitors": [kept.name]}
    events = parsed(site.http.post("/api/v1/m/demo/chat", json=body).text)
    told = [value for name, value in events if name == "alarm"]
    threshold = kept.record.details.threshold.threshold
    assert [(one["monitor"], one["pane"], one["turn"], one["token"]) for one in told] == [
        (kept.name, "steered", 0, " self"),
        (kept.name, "steered", None, " word30"),
    ]
    assert {(one["level"], one["threshold"]) for one in told} == {(threshold + 1, threshold)}
    request = worker.asked[-1]
    assert isinstance(request, ChatRequest)
    assert [own.name for own in request.monitors] == [kept.name]
    assert {own.feature: own.weight for own in request.monitors[0].members} == {3: 0.5, 7: -0.25}
    wait(lambda: len(monitors.alarms(kept.name)) == 2)  # another thread keeps them
    assert {view.record.turn for view in monitors.alarms(kept.name)} == {
        "turn 1, user (steered)",
        "answer (steered)",
    }
    # What an answer is stopped for is not handed out.
    events = parsed(
        site.http.post("/api/v1/m/demo/chat", json=body | {"gate": "refuse", "alone": True}).text
    )
    told = [value for name, value in events if name == "alarm"]
    assert [(one["gate"], one["token"]) for one in told] == [("refuse", " self"), ("refuse", None)]


def test_a_monitor_that_is_not_there_and_a_gate_that_chat_lacks_are_refused(site: Client) -> None:
    body = {"turns": TURNS, "monitors": ["nothing"]}
    answer = site.http.post("/api/v1/m/demo/chat", json=body)
    assert answer.status_code == 404
    assert "nothing" in answer.json()["detail"]
    for more in ({"gate": "steer"}, {"gate": "refuse"}):
        answer = site.http.post("/api/v1/m/demo/chat", json={"turns": TURNS, **more})
        assert answer.status_code == 422


def test_how_a_cue_is_answered(site: Client, worker: PretendChats) -> None:
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).chats
    begun = client.cue_answer("demo", TURNS, "mlp-12", 5, n_tokens=2)
    assert (begun.text, begun.n_tokens) == (" word30 word31", 2)
    # The answer's own two tokens, behind the three of the conversation.
    assert (begun.activation, begun.mean) == (1.25, 1.125)
    request = worker.asked[-1]
    assert isinstance(request, ChatRequest)
    assert (request.alone, request.edits, request.n_tokens) == (True, (), 2)
    assert request.sampling.temperature == 0
    (trait,) = request.traits
    assert [(m.feature, m.weight) for m in trait.members] == [(5, 1.0)]
    for asked, words in (({"feature": 10**6}, "no feature"), ({"turns": []}, "at least 1")):
        body = {"turns": TURNS, "dictionary": "mlp-12", "feature": 5} | asked
        refused = site.http.post("/api/v1/m/demo/chat/cue/answer", json=body)
        assert refused.status_code == 422
        assert words in refused.json()["detail"]


def test_the_client_has_a_twin_of_each_address(site: Client) -> None:
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).chats
    edit = Edit(dictionary="mlp-12", feature=2, strength=1)
    events = list(client.answer("demo", TURNS, [edit], scope="answer", n_tokens=2))
    answers = {event.pane: event for event in events if isinstance(event, AnswerEvent)}
    assert answers["unsteered"].text == " word20 word21 word22"
    reading = client.reading("demo", TURNS, traits=["kind"])
    assert [token.part for token in reading.tokens] == [
        "special",
        "template",
        "content",
        "template",
    ]
    assert client.cue("demo", TURNS, "mlp-12", 1).turn == 0
    assert client.lines("demo", '{"role": "user", "content": "x"}').turns[0].content == "x"
