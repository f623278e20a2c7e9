"""Alive, ready, starting, degraded and broken are told apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import StoreError
from app.settings import Settings
from app.store.store import Store
from app.web import health
from app.worker.client.supervisor import WorkerPhase, WorkerState
from app.worker.process.limits import Limits
from tests.app.pretend.clients import Client, filled
from tests.app.worker.conftest import serving
from tests.app.worker.workbenches import PretendWorkbench

GONE = "http://127.0.0.1:9"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Client]:
    with filled(tmp_path) as made:
        yield made


def set_site(site: Client, **parts: Any) -> None:
    app: Any = site.http.app
    app.state.site = replace(app.state.site, **parts)


def readiness(site: Client) -> tuple[int, str, dict[str, tuple[str, str]]]:
    answer = site.get("/ready")
    assert answer.headers["Cache-Control"] == "no-store"
    value = answer.json()
    parts = {part["name"]: (part["health"], part["message"]) for part in value["parts"]}
    return answer.status_code, value["status"], parts


def test_alive_and_ready_without_a_worker(site: Client) -> None:
    assert site.get("/health").json() == {"status": "ok"}
    assert readiness(site) == (200, "ready", {"store": ("ready", "")})


@pytest.mark.parametrize(
    ("phase", "status", "told"),
    [
        (WorkerPhase.STARTING, 503, "starting"),
        (WorkerPhase.READY, 200, "ready"),
        (WorkerPhase.RESTARTING, 200, "degraded"),
        (WorkerPhase.BROKEN, 200, "degraded"),
    ],
)
def test_the_own_worker(site: Client, phase: WorkerPhase, status: int, told: str) -> None:
    set_site(site, worker=SimpleNamespace(state=WorkerState(phase, "why")))
    assert readiness(site) == (status, told, {"store": ("ready", ""), "worker": (told, "why")})


def test_workers_by_themselves(site: Client, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", worker_threads=1)
    with serving(settings, PretendWorkbench(), Limits()) as client:
        url = client._url("")
        set_site(site, worker_urls=(url,))
        assert readiness(site) == (200, "ready", {"store": ("ready", ""), url: ("ready", "")})
        set_site(site, worker_urls=(url, GONE))
        status, told, parts = readiness(site)
        assert (status, told) == (200, "degraded")
        assert parts[url] == ("ready", "")
        assert parts[GONE][0] == "degraded"
        assert parts[GONE][1]


def test_a_store_that_fails_or_hangs_is_broken(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_store: Store) -> None:
        raise StoreError("The database does not answer.")

    monkeypatch.setattr(Store, "check", gone)
    expected = {"store": ("broken", "The database does not answer.")}
    assert readiness(site) == (503, "broken", expected)
    assert site.get("/health").status_code == 200

    monkeypatch.setattr(health, "STORE_SECONDS", 0.0)
    status, told, parts = readiness(site)
    assert (status, told) == (503, "broken")
    assert "has not answered" in parts["store"][1]
