"""What the prompt page says where it cannot do what is asked."""

from __future__ import annotations

import re

import pytest

from app.errors import Overloaded, WorkerUnavailable
from app.worker.client.faults import WorkFailed
from app.worker.protocol.events import FailureCode
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.clients import HX
from tests.app.pretend.prompt_site import PAGE, PROMPT, Prompts, address, rows

BAD_TEXTS = (
    ("", "The prompt is empty"),
    ("x" * 100_000, "100,000 characters; at most 20,000"),
    ("a\0b", "Character 2 of the prompt is NUL"),
)


@pytest.mark.parametrize(("text", "said"), BAD_TEXTS)
@pytest.mark.parametrize("headers", [{}, HX])
def test_a_text_that_is_no_prompt_stays_in_its_field(
    on: Prompts, text: str, said: str, headers: dict[str, str]
) -> None:
    answer = on.post(text=text, sort="rarity", headers=headers)
    assert answer.status_code == 422
    assert words(answer.text).count(said) == 1
    assert 'id="problem-text"' in answer.text
    if not headers:
        field = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", answer.text, re.S)
        assert field
        assert field[1] == text
    assert on.live.asked == []


@pytest.mark.parametrize(
    "text", ["x", " ", "\n\n", "🙂🙂", "مرحبا", "\u202eabc", "</textarea><script>alert(1)</script>"]
)
def test_unusual_texts_are_prompts(on: Prompts, text: str) -> None:
    page = on.page(text)
    assert "<script>alert" not in page
    assert 'class="strip choosable"' in page


def test_what_the_model_cannot_take_is_said_with_its_numbers(on: Prompts) -> None:
    answer = on.get(" word20" * 200)
    assert answer.status_code == 422
    assert "The prompt has 201 tokens, but the model takes at most 128." in words(answer.text)
    assert answer.text.count(" word20" * 200) >= 1


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"token": 99}, 422, "There is no token 99: the prompt has 8"),
        ({"token": "x"}, 422, "token cannot be"),
        ({"feature": "mlp-12:12"}, 422, "features 0 to 11; there is no feature 12"),
        ({"feature": "nothing:1"}, 404, "demo has no dictionary &#39;nothing&#39;"),
        ({"feature": "12"}, 422, "names no feature"),
        ({"d": "nothing"}, 404, "it has mlp-12, neurons"),
        ({"target": 0}, 422, "tokens 1 to 7 are predicted"),
        ({"target": 10}, 422, "There is no prediction of a token 10"),
        ({"target": "no such token"}, 422, "is not one token"),
        ({"target": 3, "exact": 1, "a": "mlp-12:99"}, 422, "there is no feature 99"),
        ({"target": 3, "exact": 1, "a": "gone:9"}, 404, "no dictionary"),
        ({"feature": "mlp-12:8", "why": "because"}, 422, "why cannot be"),
        ({"feature": "mlp-12:8", "why": "replaced", "neutral": "no token"}, 422, "not one token"),
        ({"other": "x" * 30_000}, 422, "The other prompt has 30,000 characters"),
        ({"sort": "beauty"}, 422, "sort cannot be"),
    ],
)
def test_what_cannot_be_used_is_said_beside_the_rest(
    on: Prompts, query: dict[str, object], status: int, said: str
) -> None:
    answer = on.get(PROMPT, **query)
    assert answer.status_code == status
    assert said in words(answer.text)
    assert "Traceback" not in answer.text
    assert rows(answer.text), "the rest of the page is there"


def test_a_model_that_does_not_exist(on: Prompts) -> None:
    for answer in (on.site.get("/m/nobody/prompt?text=a"), on.site.fragment("/m/nobody/prompt")):
        assert answer.status_code == 404
        assert "There are demo." in answer.text


@pytest.mark.parametrize(
    ("error", "wait"),
    [(WorkerUnavailable("It is being started again."), "1"), (Overloaded("It is busy.", 7), "7")],
)
def test_while_the_worker_cannot_the_page_tries_again_by_itself(
    on: Prompts, error: Exception, wait: str
) -> None:
    on.live.error = error  # type: ignore[assignment]
    for answer in (on.get(), on.site.fragment(address())):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, wait)
        assert str(error) in words(answer.text)
        assert f"load delay:{wait}s" in answer.text
        assert "attempt=1" in answer.text
    assert "load delay:8s" in on.get(attempt=3).text
    on.live.error = None
    assert rows(on.page())


def test_what_is_known_stays_when_the_worker_goes(on: Prompts) -> None:
    on.page()
    on.live.error = WorkerUnavailable("It is being started again.")
    answer = on.get(feature="mlp-12:8", target=3, exact=1)
    assert answer.status_code == 503
    assert rows(answer.text)
    assert "What ablation does is not known yet. It is being started again." in words(answer.text)
    assert re.search(r'class="strip choosable".*?class="a\d', answer.text, re.S)


def test_work_that_fails_for_good_is_not_tried_again(on: Prompts) -> None:
    on.live.error = WorkFailed("The weights are damaged.", FailureCode.REFUSED)
    answer = on.get()
    assert answer.status_code == 503
    assert "The weights are damaged." in answer.text
    assert "load delay" not in answer.text


def test_a_stream_that_breaks_says_so(on: Prompts) -> None:
    on.page()
    on.live.error, on.live.breaks_after = WorkerUnavailable("It died."), 2
    answer = on.site.http.post(
        f"{PAGE}/effects", json={"query": address(target=5).partition("?")[2]}
    )
    assert "event: failed" in answer.text
    assert '"detail":"It died."' in answer.text
    # Half an answer is shown, and is not taken for a whole one.
    on.live.error = None
    page = on.page(target=5)
    assert "data-stream" in page
    known = re.search(r"exact: (\d+) of (\d+)", words(page))
    assert known
    assert 0 < int(known[1]) < int(known[2])
    assert "data-stream" not in on.page(target=5, exact=1)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("text=a", 422, "No prediction was chosen"),
        ("text=a&target=x%20y", 422, "not one token"),
        ("text=&target=1", 422, "empty"),
        ("text=a&token=x&target=1", 422, "token cannot be"),
    ],
)
def test_streams_refuse_in_json(on: Prompts, query: str, status: int, said: str) -> None:
    answer = on.site.http.post(
        f"{PAGE}/effects", json={"query": query}, headers={"Accept": "text/event-stream"}
    )
    assert answer.status_code == status
    assert said in answer.json()["detail"]
