"""Clients that take more than their share, without meaning it or with: one measure each."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.crowd.client import Answer, Client, parsed
from benchmarks.crowd.questions import ablation, steering
from benchmarks.served import Served, descriptors_of, forget_peak, memory_of

AT_ONCE = 50
PROBE_PAUSE = 0.2
PAGE = "/d/demo/mlp-4096/12"


@dataclass
class Probe:
    """What somebody else waits meanwhile.

    Attributes:
        seconds: of each answer, by what was asked for.
        refused: answers that were none.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {"/healthz": [], PAGE: []})
    refused: int = 0

    async def during(self, port: int, seconds: float) -> None:
        """Ask for both, over and over."""
        end = time.monotonic() + seconds
        await asyncio.gather(
            *(self._ask(Client(port, 900), target, end) for target in self.seconds)
        )

    async def _ask(self, client: Client, target: str, end: float) -> None:
        while time.monotonic() < end:
            began = time.perf_counter()
            answer = await client.ask(target, seconds=60)
            self.seconds[target].append(time.perf_counter() - began)
            self.refused += answer.status != 200
            await asyncio.sleep(PROBE_PAUSE)

    def __str__(self) -> str:
        health, page = (
            f"{1e3 * np.percentile(times, 95):,.0f} ms" for times in self.seconds.values()
        )
        failed = f", {self.refused} unanswered" if self.refused else ""
        return f"p95 of /healthz {health}, of a feature page {page}{failed}"


async def abandoned(served: Served, features: Sequence[int], streams: int) -> str:
    """Steered texts that are left within a quarter of a second."""
    pids = (served.pid, served.worker)
    # What both keep anyway is opened first: threads, connections to the store.
    client = Client(served.port)
    await asyncio.gather(*(client.ask(PAGE) for _ in range(4 * AT_ONCE)))
    await _leave_many(served.port, features, 10 * AT_ONCE)
    await asyncio.sleep(5)
    before = [descriptors_of(pid) for pid in pids]
    began = time.perf_counter()
    await _leave_many(served.port, features, streams)
    seconds = time.perf_counter() - began
    end = time.monotonic() + 20
    while time.monotonic() < end:
        await asyncio.sleep(1)
        after = [descriptors_of(pid) for pid in pids]
        if all(now <= then for now, then in zip(after, before, strict=True)):
            break
    return (
        f"descriptors web {before[0]} to {after[0]}, worker {before[1]} to {after[1]} "
        f"({streams:,} in {seconds:.0f} s)"
    )


async def _leave_many(port: int, features: Sequence[int], streams: int) -> None:
    draw = random.Random(0)
    for batch in range(streams // AT_ONCE):
        await asyncio.gather(
            *(
                _leave(Client(port, number), features[(batch + number) % len(features)], draw)
                for number in range(AT_ONCE)
            )
        )


async def _leave(client: Client, feature: int, draw: random.Random) -> None:
    with suppress(OSError):
        async with client.connected() as (_, writer):
            writer.write(client.posted(*steering(feature, 100)))
            await asyncio.sleep(draw.uniform(0, 0.25))


async def hung(served: Served, features: Sequence[int], readers: int = 300) -> str:
    """Readers who wait for underlines that nobody has asked for, of a worker that hangs."""
    worker = served.worker
    os.kill(worker, signal.SIGSTOP)
    try:
        waiting = [
            asyncio.create_task(
                Client(served.port, number).persist(
                    f"/d/demo/mlp-4096/{features[number]}/groups/top", fields="HX-Request: true\r\n"
                )
            )
            for number in range(readers)
        ]
        await asyncio.sleep(2)
        probe = Probe()
        await probe.during(served.port, 20)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        with suppress(ProcessLookupError):  # its supervisor may have given it up
            os.kill(worker, signal.SIGCONT)
    return f"{probe} ({readers} readers)"


async def silent(served: Served, log: Path, connections: int = 1050) -> str:
    """Connections that say nothing, and are opened again when they are closed."""
    stop = asyncio.Event()
    size = log.stat().st_size

    async def keep(number: int) -> None:
        client = Client(served.port, number % 200)
        while not stop.is_set():
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(5), AsyncExitStack() as stack:
                    reader, _ = await stack.enter_async_context(client.connected())
                    held = stack.pop_all()
                async with held:
                    reading = asyncio.create_task(reader.read())
                    stopping = asyncio.create_task(stop.wait())
                    await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
                    reading.cancel()
                    stopping.cancel()
            await asyncio.sleep(0.5)

    tasks = [asyncio.create_task(keep(number)) for number in range(connections)]
    await asyncio.sleep(3)
    probe = Probe()
    await probe.during(served.port, 30)
    stop.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    written = (log.stat().st_size - size) / 1e6
    return f"{probe}; log {written:.1f} MB in half a minute"


async def large_body(served: Served, megabytes: int, chunked: bool) -> str:
    """A steering question that is too long, its length declared or not."""
    before = memory_of(served.pid)
    forget_peak(served.pid)
    probe = Probe()
    sending = asyncio.create_task(asyncio.to_thread(_send, Client(served.port), megabytes, chunked))
    await probe.during(served.port, 3)
    while not sending.done():
        await probe.during(served.port, 0.5)
    answer = await sending
    more = memory_of(served.pid, peak=True) - before
    status = answer.status or "connection closed"
    return f"{status}, memory +{more:,.0f} MB; meanwhile {probe} ({megabytes:,} MB)"


def _send(client: Client, megabytes: int, chunked: bool) -> Answer:
    """Send as long as the server reads, then read what it has to say."""
    start, piece, end = b'{"prompt": "', b"a" * 2**20, b'"}'
    length = len(start) + len(end) + megabytes * len(piece)
    head = client.head("POST", "/api/v1/m/demo/steer", None if chunked else length)
    if chunked:
        fields = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        head = head.replace(b"HTTP/1.0", b"HTTP/1.1").removesuffix(b"\r\n")
        head += fields + b"Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", client.port), timeout=120) as connection:
        with suppress(OSError):
            connection.sendall(head)
            for part in (start, *[piece] * megabytes, end, b""):
                text = b"%x\r\n%b\r\n" % (len(part), part) if chunked else part
                connection.sendall(text)
        answer = b""
        with suppress(OSError):
            while more := connection.recv(2**16):
                answer += more
    return parsed(answer)


async def greedy(served: Served, features: Sequence[int], seconds: float = 30.0) -> str:
    """One client lets a hundred long texts be written; another ablates, one after the other."""
    end = time.monotonic() + seconds

    async def write(number: int) -> None:
        greedy = Client(served.port, 1)
        while time.monotonic() < end:
            left = max(0.1, end - time.monotonic())
            answer = await greedy.ask(*steering(features[number], 200), seconds=left)
            if answer.status == 503:
                await asyncio.sleep(answer.retry_after or 1.0)

    writing = [asyncio.create_task(write(number)) for number in range(100)]
    await asyncio.sleep(2)
    times: list[float] = []
    for feature in features[100:]:
        began = time.perf_counter()
        await Client(served.port, 2).persist(ablation(feature))
        times.append(time.perf_counter() - began)
        if time.monotonic() > end - 1:
            break
    await asyncio.gather(*writing)
    p50, p95 = (1e3 * float(np.percentile(times, share)) for share in (50, 95))
    return f"ablation p50 {p50:,.0f} ms, p95 {p95:,.0f} ms ({len(times)} features)"
