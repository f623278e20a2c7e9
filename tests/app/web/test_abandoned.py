"""Streams that their readers leave at once: neither process keeps anything of them."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path

from app.settings import Settings
from app.store.store import Store
from app.worker.client.streaming import AsyncWorkerClient
from tests import factories
from tests.app.pretend.served import Served
from tests.app.pretend.steering import steering_child
from tests.own_loop import run

N_STREAMS = 300
AT_ONCE = 50
QUESTION = json.dumps(
    {
        "prompt": "x",
        "n_tokens": 30,
        "edits": [{"dictionary": "mlp-12", "feature": 3, "strength": 2}],
    }
)


def descriptors(pid: int | str) -> int:
    """Files and sockets that a process has open, but its connections to the store: the pool opens
    these as they are needed and keeps them, up to its bound."""
    there = Path(f"/proc/{pid}/fd").iterdir()
    return sum(".db" not in _target(descriptor) for descriptor in there)


def _target(descriptor: Path) -> str:
    """What a descriptor is of; empty: it was closed meanwhile."""
    try:
        return descriptor.readlink().name
    except FileNotFoundError:
        return ""


async def leave(port: int, seconds: float) -> None:
    """Ask for a steered text, and go away after some time."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        "POST /api/v1/m/demo/steer HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(QUESTION)}\r\n\r\n"
    )
    writer.write((head + QUESTION).encode())
    await asyncio.sleep(seconds)
    writer.transport.abort()


async def leave_many(port: int) -> None:
    draw = random.Random(0)
    for _ in range(N_STREAMS // AT_ONCE):
        await asyncio.gather(*(leave(port, draw.uniform(0, 0.1)) for _ in range(AT_ONCE)))


def test_abandoned_streams_leave_no_connection(sqlite_store: Store, tmp_path: Path) -> None:
    factories.publish(sqlite_store, factories.sample())
    with steering_child(Settings(home=tmp_path, worker_threads=1)) as worker:
        live = AsyncWorkerClient(worker.url, secret=worker.secret)
        with Served(sqlite_store, tmp_path, live) as url:
            port = int(url.rpartition(":")[2])
            run(leave_many(port))  # what both keep anyway: pools, threads
            pids = ("self", worker.state.pid or 0)

            time.sleep(1)
            before = [descriptors(pid) for pid in pids]
            run(leave_many(port))

            end = time.monotonic() + 20
            while any(
                descriptors(pid) > count + 1 for pid, count in zip(pids, before, strict=True)
            ):
                # One more may be open: the supervisor's question how the child is.
                assert time.monotonic() < end, [descriptors(pid) for pid in pids]
                time.sleep(0.1)
