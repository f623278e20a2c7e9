"""A worker on a real socket, its workbench pretended."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from app.listening import listen
from app.settings import Settings
from app.worker.client.blocking import WorkerClient
from app.worker.client.supervisor import Patience, WorkerPhase, WorkerProcess
from app.worker.process.limits import Limits
from app.worker.process.server import create_worker
from tests.app.worker.workbenches import PretendWorkbench

Until = Callable[..., None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", worker_threads=1)


@contextmanager
def serving(
    settings: Settings, workbench: PretendWorkbench, limits: Limits
) -> Iterator[WorkerClient]:
    """A worker in a thread of this process, and a client for it."""
    with listen("127.0.0.1", 0) as listening:
        app = create_worker(settings, workbench, limits)
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        client = WorkerClient(lambda: url, silence_seconds=5.0)
        try:
            yield client
        finally:
            client.close()
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def workbench() -> PretendWorkbench:
    return PretendWorkbench()


@pytest.fixture
def client(settings: Settings, workbench: PretendWorkbench) -> Iterator[WorkerClient]:
    limits = Limits(jobs=4, body_bytes=20_000, heartbeat_seconds=0.2, deadline_seconds=20)
    with serving(settings, workbench, limits) as client:
        yield client


@pytest.fixture
def process(settings: Settings) -> Iterator[WorkerProcess]:
    """A supervisor over real child processes, started."""

    def command(descriptor: int) -> list[str]:
        return [sys.executable, "-m", "tests.app.worker.workbenches", str(descriptor)]

    patience = Patience(look_seconds=0.05, silence_seconds=2.0, first_delay=0.05)
    process = WorkerProcess(settings, command, patience)
    process.start()
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def ready(process: WorkerProcess, until: Until) -> WorkerProcess:
    """The supervisor, its child ready to work."""
    until(lambda: process.state.phase == WorkerPhase.READY)
    return process


@pytest.fixture
def until() -> Until:
    """Wait for a condition, or fail."""

    def wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the condition never came true"
            time.sleep(0.01)

    return wait
