"""Prompts while the worker starts: nobody is asked, and the page comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from app.worker.client.supervisor import WorkerPhase, WorkerState
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.clients import HX
from tests.app.pretend.prompt_site import Prompts, address, rows


@dataclass
class Supervised:
    """A worker's supervisor."""

    state: WorkerState


@pytest.fixture
def starting(on: Prompts) -> Iterator[Prompts]:
    """The site, its worker starting."""
    state = on.site.http.app.state  # type: ignore[attr-defined]
    before = state.site
    state.site = replace(before, worker=Supervised(WorkerState(WorkerPhase.STARTING)))
    yield on
    state.site = before


@pytest.mark.parametrize("headers", [{}, HX, HX | {"HX-Target": "div#test-result"}])
def test_a_starting_worker_is_said_and_not_asked(
    starting: Prompts, headers: dict[str, str]
) -> None:
    for attempt in ("", "&attempt=5"):
        answer = starting.site.http.get(address(feature="mlp-12:8") + attempt, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
        assert "The worker is starting." in words(answer.text)
        assert "load delay:1s" in answer.text
    assert starting.live.asked == []


def test_without_a_prompt_nothing_waits(starting: Prompts) -> None:
    page = starting.page(None)
    assert "load delay" not in page
    assert "starting" not in page


def test_a_worker_that_died_is_being_started_again(starting: Prompts) -> None:
    state = starting.site.http.app.state  # type: ignore[attr-defined]
    state.site.worker.state = WorkerState(WorkerPhase.RESTARTING, "why", restarts=1)
    assert "The worker stopped and is being started again." in words(starting.get().text)
    state.site.worker.state = WorkerState(WorkerPhase.READY, pid=7)
    assert rows(starting.page())
