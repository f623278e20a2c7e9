"""Streams without threads: the same events and faults as the blocking client gives."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidRequest, Overloaded, WorkerUnavailable
from app.worker.client.blocking import WorkerClient, WorkFailed
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.client.supervisor import WorkerProcess
from app.worker.protocol.events import ContextDone, FailureCode
from tests.app.worker.conftest import Until
from tests.app.worker.workbenches import Behaviour, PretendWorkbench, request


@asynccontextmanager
async def streams(
    url: str | None, silence_seconds: float = 5.0, secret: str = ""
) -> AsyncIterator[AsyncWorkerClient]:
    client = AsyncWorkerClient(lambda: url, silence_seconds=silence_seconds, secret=secret)
    try:
        yield client
    finally:
        await client.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    # On a thread of its own: a browser's tests leave a loop running on this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result(60)


def test_the_events_are_those_of_the_blocking_client(client: WorkerClient) -> None:
    async def work() -> None:
        async with streams(client._url("")) as live:
            events = [event async for event in live.ask(request([1, 2, 3]))]
        assert events == list(client.ask(request([1, 2, 3])))

    run(work())


@pytest.mark.parametrize("behaviour", [Behaviour.DEFECT, Behaviour.REFUSAL, Behaviour.MEMORY])
def test_failures_say_the_same(client: WorkerClient, behaviour: Behaviour) -> None:
    async def work() -> None:
        with pytest.raises(WorkFailed) as expected:
            list(client.ask(request([1, 1], behaviour)))
        async with streams(client._url("")) as live:
            with pytest.raises(WorkFailed) as found:
                [event async for event in live.ask(request([1, 1], behaviour))]
        assert (str(found.value), found.value.code) == (str(expected.value), expected.value.code)

    run(work())


def test_refusals_before_the_stream(client: WorkerClient) -> None:
    async def work() -> None:
        async with streams(client._url("")) as live:
            with pytest.raises(InvalidRequest, match="longer than"):
                await anext(live.ask(request([1] * 20_000)))
            async with asyncio.TaskGroup() as group:
                busy = [live.ask(request([50] * 100)) for _ in range(4)]
                for stream in busy:
                    group.create_task(anext(stream))  # type: ignore[arg-type]
            with pytest.raises(Overloaded) as full:
                await anext(live.ask(request([1])))
            assert full.value.retry_after > 0
            for stream in busy:
                await stream.aclose()

    run(work())


def test_closing_cancels_within_a_step(
    client: WorkerClient, workbench: PretendWorkbench, until: Until
) -> None:
    async def work() -> None:
        async with streams(client._url("")) as live:
            async with aclosing(live.ask(request([30] * 200))) as stream:
                assert isinstance(await anext(stream), ContextDone)
            steps = workbench.steps
            await asyncio.to_thread(until, lambda: workbench.running == 0)
            assert workbench.closed == 1
            assert workbench.steps <= steps + 2

    run(work())


def test_cancelling_the_task_that_waits_cancels_the_work(
    client: WorkerClient, workbench: PretendWorkbench, until: Until
) -> None:
    async def work() -> None:
        async with streams(client._url("")) as live:
            waiting = asyncio.create_task(anext(live.ask(request([200] * 50))))  # type: ignore[arg-type]
            await asyncio.to_thread(until, lambda: workbench.running == 1)
            waiting.cancel()
            await asyncio.to_thread(until, lambda: workbench.running == 0)

    run(work())


def test_a_stream_that_is_cancelled_at_any_moment_leaves_no_connection() -> None:
    """Between connecting and sending is a moment at which a shared pool keeps the connection."""

    async def leave(live: AsyncWorkerClient, moment: int) -> None:
        waiting = asyncio.create_task(anext(live.ask(request([1]))))  # type: ignore[arg-type]
        for _ in range(moment):
            await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting

    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
            async with streams(f"http://127.0.0.1:{listening.getsockname()[1]}") as live:
                before = len(list(Path("/proc/self/fd").iterdir()))
                for moment in range(60):
                    for _ in range(3):
                        await leave(live, moment)
                assert len(list(Path("/proc/self/fd").iterdir())) <= before

    run(work())


def test_without_a_worker() -> None:
    async def work() -> None:
        async with streams(None) as live:
            with pytest.raises(WorkerUnavailable, match="FEATURESCOPE_WORKER_URL"):
                await anext(live.ask(request([1])))
        async with streams("http://127.0.0.1:9") as live:
            with pytest.raises(WorkerUnavailable, match="restarting"):
                await anext(live.ask(request([1])))

    run(work())


def test_a_worker_that_is_silent() -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with streams(url, silence_seconds=0.2) as live:
                with pytest.raises(WorkerUnavailable, match=r"0\.2 seconds"):
                    await anext(live.ask(request([1])))

    run(work())


def test_a_worker_that_dies_half_way(ready: WorkerProcess) -> None:
    async def work() -> None:
        async with streams(ready.url(), secret=ready.secret) as live:
            stream = live.ask(request([1, 1], Behaviour.DIE))
            assert isinstance(await anext(stream), ContextDone)
            with pytest.raises(WorkerUnavailable, match="restarting"):
                await anext(stream)
            # The address is the same; a request that comes too early is refused, not lost.
            while True:
                try:
                    events = [event async for event in live.ask(request([1, 1]))]
                except WorkerUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    break
            assert len(events) == 2

    run(work())


def test_a_hundred_streams_take_no_thread(client: WorkerClient) -> None:
    async def one(live: AsyncWorkerClient) -> int | FailureCode | None:
        try:
            return len([event async for event in live.ask(request([1] * 5))])
        except Overloaded:
            return None

    async def work() -> None:
        async with streams(client._url("")) as live:
            before = threading.active_count()
            tasks = [asyncio.create_task(one(live)) for _ in range(100)]
            await asyncio.sleep(0.05)
            assert threading.active_count() <= before + 1  # the resolver's, where there is one
            results = await asyncio.gather(*tasks)
        assert set(results) <= {5, None}
        assert 5 in results

    run(work())
