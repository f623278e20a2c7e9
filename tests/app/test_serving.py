"""How the application is served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from app.cli.main import INTERRUPTED
from app.store.store import Store
from tests import factories
from tests.app.pretend.prompts import PretendPrompts
from tests.app.pretend.served import Served


@pytest.mark.parametrize(
    ("page", "length", "said"),
    [
        ("prompt", 70_000, "The prompt has 70,000 characters; at most 20,000 are taken."),
        ("steer", 70_000, "This worker only pretends."),
        ("steer", 210_000, "210,000 characters"),
    ],
)
def test_addresses_with_long_texts_are_answered_by_the_page(
    sqlite_store: Store, tmp_path: Path, page: str, length: int, said: str
) -> None:
    factories.publish(sqlite_store, factories.sample())
    with Served(sqlite_store, tmp_path, PretendPrompts()) as url:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
        connection.request("GET", f"/m/demo/{page}?run=1&text={'x' * length}")
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
    assert answer.status == 422
    assert said in body


@contextmanager
def two_processes(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`serve --workers 2` and its address, without a worker that would load torch."""
    environment = os.environ | {
        "FEATURESCOPE_HOME": str(home),
        "FEATURESCOPE_WORKER_URL": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().split()[3].rstrip("/")
        finally:
            process.kill()


def servers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that answer: children of `process` that run its code."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in command_of(int(child))]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_several_processes_answer_on_one_address_and_one_that_dies_is_replaced(
    tmp_path: Path,
) -> None:
    with two_processes(tmp_path) as (process, url):
        first = servers_of(process)
        assert len(first) == 2
        assert httpx.get(url, timeout=30).status_code == 200
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len({*servers_of(process)} - {*first}) == 1)
        assert {httpx.get(url, timeout=30).status_code for _ in range(6)} == {200}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == INTERRUPTED


def test_they_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    with two_processes(tmp_path) as (process, _):
        children = servers_of(process)
        process.kill()
        process.wait()
        until(lambda: not any(b"spawn_main" in command_of(child) for child in children))
