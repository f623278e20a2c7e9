"""Underlines that cannot come yet: what the page says, and that it asks again by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.errors import FeaturescopeError, WorkerUnavailable
from app.worker.client.blocking import RESTARTING
from app.worker.client.supervisor import WorkerPhase, WorkerState
from sae_core.errors import CheckpointError
from tests.app.pretend.clients import Client, filled

TOP = "/d/demo/mlp-12/0/groups/top"
SENTENCE = "The worker stopped and is being started again."


@dataclass
class Supervised:
    """A worker's supervisor; the worker, when asked, dies or refuses."""

    state: WorkerState
    end: WorkerState
    error: FeaturescopeError

    def effects(self, *_: object) -> None:
        self.state = self.end
        raise self.error


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Client]:
    with filled(tmp_path) as made:
        yield made


def supervise(site: Client, worker: Supervised) -> None:
    state = site.http.app.state  # type: ignore[attr-defined]
    state.site = replace(state.site, worker=worker, ablations=worker)


READY = WorkerState(WorkerPhase.READY, pid=7)
DIED = WorkerState(WorkerPhase.RESTARTING, "why", restarts=1)


def test_a_worker_that_dies_while_the_page_waits_is_said(site: Client) -> None:
    supervise(site, Supervised(READY, DIED, WorkerUnavailable(RESTARTING)))
    answer = site.fragment(TOP)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert SENTENCE in answer.text
    assert "load delay:1s" in answer.text
    again = site.fragment(f"{TOP}?attempt=1")  # now nobody is asked
    assert again.status_code == 202
    assert SENTENCE in again.text
    assert "load delay:1s" in again.text


def test_a_worker_that_cannot_be_reached_is_said_in_its_own_words(site: Client) -> None:
    supervise(site, Supervised(READY, READY, WorkerUnavailable(RESTARTING)))
    assert RESTARTING in site.fragment(TOP).text


def test_another_reason_is_not_hidden_by_a_restart(site: Client) -> None:
    supervise(site, Supervised(READY, DIED, CheckpointError("The weights are damaged.")))
    answer = site.fragment(TOP)
    assert "The weights are damaged." in answer.text
    assert "delay" not in answer.text
