"""An endpoint that is slow, wrong, busy, half-answering or gone; and what it costs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict, InvalidRequest
from app.jobs.explain.answer_book import AnswerBook
from app.jobs.explain.costs import BudgetSpent, Costs, Prices, estimated_tokens
from app.jobs.explain.endpoint import (
    MOST_FAILURES,
    TRIES,
    Endpoint,
    EndpointFailure,
    EndpointGone,
    EndpointSpec,
    Prompt,
)
from tests.app.jobs.explain.scripted import Answer, Script, said, served

PROMPT = Prompt("Be brief.", "What is it?", most_tokens=10)


@pytest.fixture
def script() -> Iterator[Script]:
    with served(lambda _path, _body: said("It is 1.")) as script:
        yield script


class Slept(list[float]):
    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def slept() -> Slept:
    return Slept()


@pytest.fixture
def asking(script: Script, slept: Slept, tmp_path: Path) -> Iterator[Callable[..., Endpoint]]:
    made: list[Endpoint] = []
    book = AnswerBook(tmp_path / "answers.jsonl")

    def ask(costs: Costs | None = None, **spec: Any) -> Endpoint:
        endpoint = Endpoint(
            EndpointSpec(script.url, "small", **spec), book, costs or Costs(Prices()), slept
        )
        made.append(endpoint)
        return endpoint

    with book:
        yield ask
    for endpoint in made:
        endpoint.close()


def answers(*given: Answer) -> Callable[[str, dict[str, Any]], Answer]:
    """These one after the other, the last for ever."""
    left = list(given)
    return lambda _path, _body: left.pop(0) if len(left) > 1 else left[0]


def test_a_question_is_asked_as_openai_has_it(script: Script, asking: Any) -> None:
    costs = Costs(Prices(read=2.0, written=10.0))
    reply = asking(costs, key="secret").chat(PROMPT)
    assert reply.text == "It is 1."
    assert script.keys == ["Bearer secret"]
    assert script.asked == [
        {
            "model": "small",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is it?"},
            ],
            "max_tokens": 10,
            "temperature": 0.0,
        }
    ]
    assert (costs.asked, costs.read, costs.written) == (1, 100, 10)
    assert costs.dollars == pytest.approx((100 * 2 + 10 * 10) / 1e6)


def test_what_was_answered_is_not_asked_again_by_anybody(
    script: Script, asking: Any, tmp_path: Path
) -> None:
    costs = Costs(Prices())
    endpoint = asking(costs, key="secret")
    assert endpoint.chat(PROMPT) == endpoint.chat(PROMPT)
    assert len(script.asked) == 1
    assert costs.kept == 1
    assert "secret" not in (tmp_path / "answers.jsonl").read_text()
    endpoint.chat(Prompt("Be brief.", "And now?"))
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    "busy",
    [(429, {"Retry-After": "7"}, b"{}"), (500, {}, b"oops"), (503, {}, b""), (200, {}, b"{half")],
)
def test_a_busy_endpoint_is_asked_again(
    script: Script, asking: Any, slept: Slept, busy: Answer
) -> None:
    script.answer = answers(busy, busy, said("at last"))
    assert asking().chat(PROMPT).text == "at last"
    assert len(script.asked) == 3
    assert slept == ([7.0, 7.0] if busy[0] == 429 else [0.5, 1.0])


def test_an_endpoint_that_stays_busy_is_given_up_with_the_reason(
    script: Script, asking: Any
) -> None:
    script.answer = answers((503, {}, b""))
    with pytest.raises(EndpointFailure, match=f"in {TRIES} tries: it answered 503"):
        asking().chat(PROMPT)
    assert len(script.asked) == TRIES


def test_a_slow_endpoint_is_not_waited_for_for_ever(script: Script, asking: Any) -> None:
    script.seconds = 0.5
    with pytest.raises(EndpointFailure, match=r"it took more than 0\.05 s"):
        asking(seconds=0.05).chat(PROMPT)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {}, b'{"error": "no such parameter"}'), "answered 400: .*no such parameter"),
        ((404, {}, b"<html>\n  Not here  </html>"), "answered 404: <html> Not here"),
        ((400, {}, b"a\x00b \xe2\x80\xaec"), "answered 400: a\ufffdb \ufffdc"),
        ((200, {}, b'{"choices": []}'), "another form"),
        ((200, {}, b"[1, 2]"), "another form"),
        ((200, {}, b'{"choices": [{"message": {"content": null}}]}'), "without text"),
        (
            (200, {}, b'{"choices": [{"message": {"content": null, "refusal": "I may not."}}]}'),
            "without text: I may not",
        ),
    ],
)
def test_a_wrong_answer_is_a_reason(
    script: Script, asking: Any, answer: Answer, words: str
) -> None:
    script.answer = answers(answer)
    with pytest.raises(EndpointFailure, match=words):
        asking().chat(PROMPT)


def test_a_refused_key_ends_it_at_once(script: Script, asking: Any) -> None:
    script.answer = answers((401, {}, b"{}"))
    with pytest.raises(EndpointGone, match="does not accept the key in OPENAI_API_KEY"):
        asking(key="wrong").chat(PROMPT)
    with pytest.raises(EndpointGone, match="environment has none under MY_KEY"):
        asking(key_name="MY_KEY").chat(PROMPT)
    assert len(script.asked) == 2


def test_an_endpoint_that_is_gone_is_not_asked_for_ever(script: Script, asking: Any) -> None:
    script.answer = answers((400, {}, b"no"))
    endpoint = asking()
    for number in range(MOST_FAILURES - 1):
        with pytest.raises(EndpointFailure):
            endpoint.chat(Prompt("s", str(number)))
    with pytest.raises(EndpointGone, match="in a row failed"):
        endpoint.chat(Prompt("s", "last"))


def test_nobody_listening_is_a_reason(slept: Slept, tmp_path: Path) -> None:
    with AnswerBook(tmp_path / "a.jsonl") as book:
        endpoint = Endpoint(
            EndpointSpec("http://127.0.0.1:9/v1", "m"), book, Costs(Prices()), slept
        )
        with pytest.raises(EndpointFailure, match="nobody listens there"):
            endpoint.chat(PROMPT)
        endpoint.close()


def test_questions_keep_to_the_rate(asking: Any, slept: Slept) -> None:
    endpoint = asking(per_minute=60.0)
    for number in range(4):
        endpoint.chat(Prompt("s", str(number)))
    # Nobody really sleeps here: each turn is a second after the one before.
    assert [round(seconds) for seconds in slept] == [1, 2, 3]


def test_nothing_is_asked_beyond_the_budget(script: Script, asking: Any) -> None:
    most = estimated_tokens(PROMPT.system + PROMPT.user) + PROMPT.most_tokens
    costs = Costs(Prices(), tokens=110 + most)
    endpoint = asking(costs)
    endpoint.chat(PROMPT)  # the script says that it took 110
    endpoint.chat(Prompt(PROMPT.system, "What is 1?", most_tokens=10))
    with pytest.raises(BudgetSpent, match="--budget-tokens goes on from here"):
        endpoint.chat(Prompt(PROMPT.system, "What is 2?", most_tokens=10))
    assert len(script.asked) == 2
    assert endpoint.chat(PROMPT).text  # what is kept costs nothing


def test_many_threads_together_stay_below_a_budget() -> None:
    costs = Costs(Prices(read=1.0), dollars=100e-6)
    refused = []

    def ask() -> None:
        for _ in range(50):
            try:
                costs.settle(costs.reserve(1, 0), 1, 0)
            except BudgetSpent:
                refused.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert costs.read == 100
    assert len(refused) == 8 * 50 - 100


@pytest.mark.parametrize("url", ["localhost:8001", "ftp://a/v1", "", "http://", "http://[::1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="no address of an endpoint"):
        EndpointSpec(url, "m")


def test_a_key_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidRequest, match="Leave the key out") as error:
        EndpointSpec("https://me:secret@example.org/v1", "m")
    assert "secret" not in str(error.value)
    assert "secret" not in repr(EndpointSpec("https://example.org/v1", "m", key="secret"))


def test_embeddings_are_put_in_order_and_checked(script: Script, asking: Any) -> None:
    rows = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    script.answer = answers((200, {}, json.dumps({"data": rows}).encode()))
    assert asking().embeddings("vectors", ["a", "b"]) == [[1, 2], [3, 4]]
    with pytest.raises(EndpointFailure, match="one vector for each text"):
        asking().embeddings("vectors", ["a", "b", "c"])


def test_a_book_outlives_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerBook(path) as book:
        book.keep("a", {"x": 1})
        book.keep("b", [2])
    whole = path.read_bytes()
    for end in range(len(whole) - 1):
        path.write_bytes(whole[:end])
        with AnswerBook(path) as book:
            kept = len(book)
            assert kept == whole[:end].count(b"\n") or whole[: end + 1].endswith(b"\n")
            book.keep("c", "é")
        with AnswerBook(path) as book:
            assert book.get("c") == "é"
            assert len(book) == kept + 1


def test_two_processes_do_not_write_one_book(tmp_path: Path) -> None:
    with AnswerBook(tmp_path / "answers.jsonl"), pytest.raises(Conflict, match="wait until"):
        AnswerBook(tmp_path / "answers.jsonl")


def test_two_threads_with_one_question_ask_it_once(script: Script, asking: Any) -> None:
    script.seconds = 0.1
    endpoint = asking()
    replies: list[str] = []
    threads = [
        threading.Thread(target=lambda: replies.append(endpoint.chat(PROMPT).text))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == ["It is 1."] * 6
    assert len(script.asked) == 1
