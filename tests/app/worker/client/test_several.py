"""Several workers: the least loaded is asked, and another where that one is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.errors import Overloaded, WorkerUnavailable
from app.settings import Settings, read_settings
from app.worker.client.several import LOADING, SHORTEST_REST, SeveralWorkers, worker_of
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.client.supervisor import WorkerPhase, WorkerProcess
from app.worker.protocol.arrays import pack
from app.worker.protocol.events import ContextDone, Progress, Result
from app.worker.protocol.requests import WorkRequest
from tests.app.worker.client.test_streaming import run
from tests.app.worker.conftest import Until
from tests.app.worker.workbenches import effect_of, request


class Pretend:
    """A worker that answers with two events, as told.

    Attributes:
        asked: how often.
        fault: what it raises, and after how many events.
        held: set: it waits for this after its first event.
        closed: requests that were left or ended.
    """

    def __init__(self, name: int) -> None:
        self.name = name
        self.asked = 0
        self.fault: tuple[Exception, int] | None = None
        self.held: asyncio.Event | None = None
        self.closed = 0

    async def ask(self, _request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        self.asked += 1
        try:
            for n in range(3):
                if self.fault is not None and self.fault[1] == n:
                    raise self.fault[0]
                if n == 0:
                    yield Progress(done=0, total=1)
                    continue
                if n == 2 and self.held is not None:
                    await self.held.wait()
                yield pack(self.name * 10 + n, effect_of([n]))
        finally:
            self.closed += 1

    async def close(self) -> None:
        self.closed += 100


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pool(n: int = 3) -> tuple[SeveralWorkers, list[Pretend], Clock]:
    workers, clock = [Pretend(number) for number in range(n)], Clock()
    return SeveralWorkers([(str(w.name), w) for w in workers], clock), workers, clock


async def answers(workers: SeveralWorkers) -> list[int]:
    """The worker, times ten, and the number of each part of an answer."""
    events = [event async for event in workers.ask(request([1]))]
    return [event.index for event in events if isinstance(event, ContextDone)]


def test_who_has_the_model_is_asked_again_and_who_has_least_to_do() -> None:
    async def work() -> None:
        several, workers, _ = pool()
        assert await answers(several) == [1, 2]
        assert await answers(several) == [1, 2]  # the model is loaded there
        for worker in workers:
            worker.held = asyncio.Event()
        streams = [several.ask(request([1])) for _ in range(LOADING + 3)]
        for stream in streams:
            assert isinstance(await anext(stream), Progress)
        # The first takes as many more as loading is worth; then the second has the model, too.
        assert [worker.asked for worker in workers] == [2 + LOADING + 1, 2, 0]
        for stream in streams:
            await stream.aclose()
        assert all(member.load == 0 for member in several._members)

    run(work())


def test_another_is_asked_where_one_is_gone_and_it_is_left_alone_for_a_while() -> None:
    async def work() -> None:
        several, workers, clock = pool()
        workers[0].fault = (WorkerUnavailable("gone"), 1)  # in the queue: nothing answered yet
        assert await answers(several) == [11, 12]
        assert await answers(several) == [11, 12]
        assert workers[0].asked == 1
        # Back again, it is asked once the others have more to do.
        workers[0].fault, clock.now = None, SHORTEST_REST + 0.1
        streams = [several.ask(request([1])) for _ in range(4 * LOADING)]
        for stream in streams:
            await anext(stream)
        assert workers[0].asked > 1
        for stream in streams:
            await stream.aclose()

    run(work())


def test_rests_grow_and_those_that_rest_are_still_asked_where_there_is_nobody_else() -> None:
    async def work() -> None:
        several, workers, clock = pool(1)
        workers[0].fault = (WorkerUnavailable("gone"), 0)
        for n in range(4):
            with pytest.raises(WorkerUnavailable, match="restarting"):
                await answers(several)
            assert several._members[0].rests_until == clock.now + SHORTEST_REST * 2**n
            clock.now = several._members[0].rests_until
        workers[0].fault = None
        assert await answers(several) == [1, 2]
        assert several._members[0].failures == 0

    run(work())


def test_half_an_answer_is_not_mixed_with_another() -> None:
    async def work() -> None:
        several, workers, _ = pool()
        workers[0].fault = (WorkerUnavailable("died"), 2)
        with pytest.raises(WorkerUnavailable, match="died"):
            await answers(several)
        assert [worker.asked for worker in workers] == [1, 0, 0]

    run(work())


def test_a_full_queue_sends_on_and_only_all_full_ones_refuse() -> None:
    async def work() -> None:
        several, workers, _ = pool()
        workers[0].fault = (Overloaded("full", 3), 0)
        assert await answers(several) == [11, 12]
        for worker in workers:
            worker.fault = (Overloaded("full", 3), 0)
        with pytest.raises(Overloaded, match="full"):
            await answers(several)
        workers[2].fault = (WorkerUnavailable("gone"), 0)
        with pytest.raises(Overloaded, match="full"):
            await answers(several)

    run(work())


def test_leaving_closes_the_worker_s_stream() -> None:
    async def work() -> None:
        several, workers, _ = pool()
        async with aclosing(several.ask(request([1]))) as stream:
            await anext(stream)
        assert [worker.closed for worker in workers] == [1, 0, 0]
        await several.close()
        assert [worker.closed for worker in workers] == [101, 100, 100]

    run(work())


def test_the_setting_names_one_or_several() -> None:
    settings = read_settings(worker_url="http://a:1/, https://b:2 ,http://a:1")
    assert settings.worker_urls == ("http://a:1", "https://b:2")
    assert read_settings(worker_url="http://a:1").worker_urls == ("http://a:1",)
    assert isinstance(worker_of(["http://a:1"], ""), AsyncWorkerClient)
    assert isinstance(worker_of(settings.worker_urls, ""), SeveralWorkers)


@contextmanager
def children(folder: Path, until: Until, n: int) -> Iterator[list[WorkerProcess]]:
    """Real processes, each of which takes its time over what it is asked."""

    def command(descriptor: int) -> list[str]:
        return [sys.executable, "-m", "tests.app.worker.workbenches", str(descriptor)]

    with ExitStack() as stack:
        made = []
        for number in range(n):
            settings = Settings(
                home=folder / str(number), worker_threads=1, worker_secret=SecretStr("among us")
            )
            process = WorkerProcess(settings, command)
            process.start()
            stack.callback(process.stop)
            made.append(process)
        for process in made:
            until(lambda process=process: process.state.phase == WorkerPhase.READY)
        yield made


def test_a_killed_worker_costs_only_the_answers_that_it_had_begun(
    tmp_path: Path, until: Until
) -> None:
    async def work(processes: list[WorkerProcess]) -> None:
        several = worker_of([process.url() for process in processes], "among us")
        begun, whole, broken = 0, 0, 0
        killed = asyncio.Event()

        async def one(number: int) -> None:
            nonlocal begun, whole, broken
            events, wanted = [], [5 + number % 7] * 6
            try:
                async for event in several.ask(request(wanted)):
                    if isinstance(event, ContextDone):
                        events.append(event)
                        begun += len(events) == 1
                        if begun > 8:
                            killed.set()
            except WorkerUnavailable:
                broken += 1
                assert 0 < len(events) <= 6  # all may be there, but not the word that it was all
            else:
                whole += 1
                assert events == [pack(n, effect_of([ms])) for n, ms in enumerate(wanted)]

        async def kill() -> None:
            await killed.wait()
            pid = processes[0].state.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)

        try:
            await asyncio.gather(kill(), *(one(number) for number in range(60)))
        finally:
            await several.close()
        assert whole + broken == 60
        assert 0 < broken < 20

    with children(tmp_path, until, 3) as processes:
        run(work(processes))
