"""Plain routes that wait for the worker: bounded, in nobody's way, ended with their reader."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from app.store.store import Store
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.client.waiters import MOST_WAITING
from app.worker.protocol.events import Progress, Result, TokensRead
from app.worker.protocol.requests import WorkRequest
from tests import factories
from tests.app.pretend.served import Served
from tests.app.pretend.steering import PretendSteering, steering_worker


class Slow:
    """A worker that answers when it is told to, and knows who waits."""

    def __init__(self) -> None:
        self.asked = 0
        self.waiting = 0
        self.open = threading.Event()

    async def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        self.asked += 1
        self.waiting += 1
        try:
            while not self.open.is_set():
                await asyncio.sleep(0.01)
            empty = b""
            yield TokensRead(tokens=empty, loss=empty, predicted=empty, probabilities=empty)
        finally:
            self.waiting -= 1

    async def close(self) -> None:
        pass


@pytest.fixture
def worker() -> Slow:
    return Slow()


@pytest.fixture
def address(sqlite_store: Store, worker: Slow, tmp_path: Path) -> Iterator[tuple[str, int]]:
    factories.publish(sqlite_store, factories.sample())
    with Served(sqlite_store, tmp_path, worker) as url:
        yield "127.0.0.1", int(url.rpartition(":")[2])


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def ask(address: tuple[str, int], path: str) -> socket.socket:
    """A request that nobody has answered yet."""
    connection = socket.create_connection(address, timeout=30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


@pytest.mark.parametrize(
    "path", ["/m/demo/prompt?text=word{n}", "/m/demo/steer?run=1&text=word&seed={n}"]
)
def test_waiting_readers_keep_nobody_else_waiting_and_leave_nothing(
    address: tuple[str, int], worker: Slow, path: str
) -> None:
    n = MOST_WAITING - 4
    readers = [ask(address, path.format(n=i)) for i in range(n)]
    try:
        until(lambda: worker.waiting == n)
        home = httpx.get("http://{}:{}/".format(*address), timeout=30)
        assert home.status_code == 200
    finally:
        for reader in readers:
            reader.close()
    until(lambda: worker.waiting == 0)


def test_too_many_are_told_to_come_back(address: tuple[str, int], worker: Slow) -> None:
    readers = [ask(address, f"/m/demo/prompt?text=word{i}") for i in range(MOST_WAITING)]
    try:
        until(lambda: worker.waiting == MOST_WAITING)
        answer = httpx.post(
            "http://{}:{}/api/v1/m/demo/activations".format(*address),
            json={"prompt": "one more"},
            timeout=30,
        )
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) >= 1
        assert f"{MOST_WAITING} readers" in answer.json()["detail"]
        assert worker.asked == MOST_WAITING
    finally:
        for reader in readers:
            reader.close()
    until(lambda: worker.waiting == 0)


def test_a_crowd_of_steered_documents_is_answered(sqlite_store: Store, tmp_path: Path) -> None:
    """Each document needs the store in the middle of its wait: threads must not run out."""
    factories.publish(sqlite_store, factories.sample())
    with (
        steering_worker(PretendSteering(step_ms=0), Settings(home=tmp_path)) as behind,
        Served(sqlite_store, tmp_path, AsyncWorkerClient(lambda: behind)) as url,
        ThreadPoolExecutor(60) as readers,
    ):
        pages = [
            f"{url}/m/demo/steer?run=1&n=5&text=x&f=mlp-12:3:add:2&seed={seed}"
            for seed in range(60)
        ]
        answers = list(readers.map(lambda page: httpx.get(page, timeout=60), pages))
    assert {answer.status_code for answer in answers} == {200}
