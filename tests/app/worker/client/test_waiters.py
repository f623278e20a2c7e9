"""Plain routes that wait for the worker: bounded, in nobody's way, ended with their reader."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.errors import Overloaded
from app.settings import Settings
from app.store.store import Store
from app.worker.client.ablations import Ablations
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.client.waiters import MOST_WAITING, RETRY_AFTER, Pending, Waiters, wait_for
from app.worker.protocol.events import Progress, Result, TokensRead
from app.worker.protocol.requests import WorkRequest
from tests import factories
from tests.app.pretend.served import Served
from tests.app.pretend.steering import PretendSteering, steering_worker
from tests.own_loop import run


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
    with Served(sqlite_store, tmp_path, worker, Ablations(sqlite_store, worker)) as url:
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


def test_readers_of_underlines_share_one_answer_and_hold_no_thread(
    address: tuple[str, int], worker: Slow
) -> None:
    """Five times as many as there are threads wait for a worker that hangs: all else is served."""
    paths = [f"/{kind}d/demo/mlp-12/1/groups/top" for kind in ("", "api/v1/")]
    readers = [ask(address, paths[i % 2]) for i in range(200)]
    try:
        until(lambda: worker.waiting == 1)
        for path in ("/healthz", "/static/css/base.css", "/", "/d/demo/mlp-12/1"):
            answer = httpx.get("http://{}:{}{}".format(*address, path), timeout=30)
            assert answer.status_code == 200, path
        assert (worker.asked, worker.waiting) == (1, 1)
    finally:
        for reader in readers:
            reader.close()
    until(lambda: worker.waiting == 0)


def answers(waiters: Waiters, work: Callable[[], Any], n: int) -> list[Any]:
    """What `n` requests get that ask the same."""

    async def attempt() -> Any:
        return wait_for("the same", work)

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(
            *(waiters.patiently(attempt) for _ in range(n)), return_exceptions=True
        )

    return run(all_of_them())


def test_equal_questions_share_an_answer_or_its_error() -> None:
    asked = []

    async def work() -> str:
        asked.append(1)
        await asyncio.sleep(0)
        if len(asked) > 1:
            raise Overloaded("Not again.", RETRY_AFTER)
        return "yes"

    waiters = Waiters()
    assert answers(waiters, work, 5) == ["yes"] * 5
    assert [str(error) for error in answers(waiters, work, 5)] == ["Not again."] * 5
    assert len(asked) == 2


def test_waits_are_bounded_in_number_and_time() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    waiters = Waiters(most_readers=2, seconds=0.05)
    late = answers(waiters, never, 3)
    assert sorted(type(error).__name__ for error in late) == [
        "Overloaded",
        "WorkerUnavailable",
        "WorkerUnavailable",
    ]
    with pytest.raises(Pending):
        wait_for("outside of a request", never)


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
