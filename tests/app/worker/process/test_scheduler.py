"""Fairness, cancellation, deadlines, isolation: on the scheduler itself, step by step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from app.errors import Overloaded
from app.worker.process import scheduler as scheduling
from app.worker.process.scheduler import Job, Scheduler
from app.worker.protocol.events import Done, Event, Failed, FailureCode, HealthPhase, Progress
from sae_core.errors import ModelError


class Bench:
    """A scheduler whose steps wait for the test, and a diary of which job stepped when."""

    def __init__(
        self,
        prepare: Callable[[], None] = lambda: None,
        room: int = 64,
        turn_seconds: float = 0.0,
    ) -> None:
        self.scheduler = Scheduler(prepare, capacity=5, room=room, turn_seconds=turn_seconds)
        self.diary: list[str] = []
        self.gate = threading.Semaphore(0)
        self.news = threading.Event()

    def steps(self, name: str, n: int) -> Iterator[Event]:
        try:
            for done in range(n):
                assert self.gate.acquire(timeout=10)
                self.diary.append(name)
                yield Progress(done=done + 1, total=n)
        except GeneratorExit:
            self.diary.append(f"{name} closed")
            raise

    def submit(
        self, name: str, n: int, seconds: float = 30.0, client: str = "", streams: bool = False
    ) -> Job:
        return self.scheduler.submit(self.steps(name, n), seconds, self.news.set, client, streams)

    def until_begun(self, job: Job) -> None:
        """Wait until the device thread is inside a step of the job."""
        while self.scheduler._running is not job:
            time.sleep(0.001)

    def go(self, n: int) -> None:
        for _ in range(n):
            self.gate.release()

    def result(self, job: Job, seconds: float = 10.0) -> list[Event]:
        """All events of a job."""
        events: list[Event] = []
        end = time.monotonic() + seconds
        while not (events and isinstance(events[-1], Done | Failed)):
            assert time.monotonic() < end
            self.news.wait(0.05)
            self.news.clear()
            events += self.scheduler.take(job)
        return events


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    bench.scheduler.start()
    yield bench
    bench.go(1000)
    bench.scheduler.close()


def test_jobs_take_turns(bench: Bench) -> None:
    first = bench.submit("first", 1)
    bench.until_begun(first)
    a, b = bench.submit("a", 3), bench.submit("b", 3)
    bench.go(7)
    assert len(bench.result(a)) == len(bench.result(b)) == 4
    # b is new when a has gone, but two newcomers in a row would keep work under way waiting.
    assert bench.diary == ["first", "a", "a", "b", "a", "b", "b"]


def test_steps_that_cost_nothing_need_no_turn_of_their_own() -> None:
    bench = Bench(turn_seconds=5.0)
    bench.scheduler.start()
    first = bench.submit("first", 1)
    bench.until_begun(first)
    a, b = bench.submit("a", 3), bench.submit("b", 3)
    bench.go(7)
    assert len(bench.result(a)) == len(bench.result(b)) == 4
    assert bench.diary == ["first", "a", "a", "a", "b", "b", "b"]
    bench.scheduler.close()


def test_a_newcomer_goes_next_and_short_work_is_done_at_once(bench: Bench) -> None:
    long = [bench.submit(name, 20) for name in "xyz"]
    bench.go(6)
    while len(bench.diary) < 6:
        time.sleep(0.001)
    short = bench.submit("short", 1)
    bench.go(100)
    assert bench.result(short)[-1] == Done()
    # One step was under way, at most one more had its turn.
    assert "short" in bench.diary[6:9]
    for job in long:
        assert len(bench.result(job)) == 21


def test_newcomers_do_not_starve_work_under_way(bench: Bench) -> None:
    long = bench.submit("long", 5)
    bench.until_begun(long)
    short = [bench.submit(f"s{n}", 1) for n in range(4)]
    bench.go(100)
    bench.result(long)
    for job in short:
        bench.result(job)
    assert bench.diary[:5] == ["long", "long", "s0", "long", "s1"]
    turns = [turn for turn, name in enumerate(bench.diary) if name == "long"]
    assert max(b - a for a, b in pairwise(turns)) <= 3


def test_cancelling_takes_effect_within_a_step(bench: Bench) -> None:
    job = bench.submit("a", 100)
    bench.go(2)
    while len(bench.diary) < 2:
        time.sleep(0.001)
    bench.scheduler.cancel(job)
    bench.go(100)
    bench.result(job)
    assert bench.diary.count("a") <= 3
    assert bench.diary[-1] == "a closed"
    assert bench.scheduler.jobs == 0


def test_cancelling_a_job_that_never_began_runs_nothing(bench: Bench) -> None:
    first, second = bench.submit("a", 1), bench.submit("b", 1)
    bench.scheduler.cancel(second)
    bench.go(5)
    bench.result(first)
    bench.result(second)
    assert bench.diary == ["a"]
    bench.scheduler.cancel(first)


def test_a_full_scheduler_refuses(bench: Bench) -> None:
    jobs = [bench.submit(str(n), 1) for n in range(5)]
    with pytest.raises(Overloaded, match="5 requests") as refused:
        bench.submit("late", 1)
    assert refused.value.retry_after >= 1
    bench.go(5)
    for job in jobs:
        bench.result(job)
    bench.go(1)
    assert bench.result(bench.submit("again", 1))[-1] == Done()


def test_no_client_takes_all_places(bench: Bench) -> None:
    jobs = [bench.submit(str(n), 1, client="greedy") for n in range(4)]
    with pytest.raises(Overloaded, match="its share for one client"):
        bench.submit("more", 1, client="greedy")
    jobs.append(bench.submit("other", 1, client="modest"))
    bench.go(5)
    for job in jobs:
        assert bench.result(job)[-1] == Done()


def test_clients_and_kinds_take_turns(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The modest client's two steps and the stream's do not wait for the greedy one's six."""
    monkeypatch.setattr(scheduling, "SLICE_SECONDS", 60.0)  # a turn is a turn
    first = bench.submit("first", 1)
    bench.until_begun(first)
    greedy = [bench.submit(f"greedy {n}", 2, client="greedy") for n in range(2)]
    modest = bench.submit("modest", 2, client="modest")
    stream = bench.submit("stream", 2, client="greedy", streams=True)
    bench.go(9)
    for job in (*greedy, modest, stream):
        assert bench.result(job)[-1] == Done()
    order = [entry.partition(" ")[0] for entry in bench.diary[1:]]
    assert order[:4].count("modest") == 2
    assert order[:4].count("stream") == 1
    assert order[:6].count("stream") == 2


@pytest.mark.parametrize("clients", [("", ""), ("a", "a"), ("a", "b")])
def test_streams_and_short_work_share_the_time(clients: tuple[str, str]) -> None:
    """A stream's steps are short: several come between two long ones."""
    order: list[str] = []

    def steps(name: str, n: int, seconds: float) -> Iterator[Event]:
        for done in range(n):
            order.append(name)
            time.sleep(seconds)
            yield Progress(done=done + 1, total=n)

    scheduler = Scheduler(lambda: None, capacity=4, turn_seconds=0.0)
    jobs = [
        scheduler.submit(steps("ablation", 3, 0.2), 30.0, lambda: None, clients[0]),
        scheduler.submit(steps("stream", 12, 0.0), 30.0, lambda: None, clients[1], streams=True),
    ]
    scheduler.start()
    while not all(job.finished for job in jobs):
        time.sleep(0.01)
    scheduler.close()
    second = [n for n, name in enumerate(order) if name == "ablation"][1]
    assert order[:second].count("stream") > 3


def test_time_is_not_saved_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was away has no more of the next turns than who was there, and who left none less."""
    monkeypatch.setattr(scheduling, "SLICE_SECONDS", 60.0)
    first = bench.submit("first", 1)
    bench.until_begun(first)
    early = bench.submit("early", 20, client="early")
    bench.go(11)
    while len(bench.diary) < 11:
        time.sleep(0.001)
    bench.until_begun(early)
    late = bench.submit("late", 5, client="late")
    bench.go(15)
    for job in (early, late):
        assert bench.result(job)[-1] == Done()
    after = bench.diary[11:]
    assert 3 <= after[:10].count("late") <= 5


def test_streams_and_short_work_leave_each_other_places() -> None:
    scheduler = Scheduler(lambda: None, capacity=8)
    for streams in (True, False):
        places = 7 if streams else 1
        for _ in range(places):
            scheduler.submit(iter(()), 30.0, lambda: None, streams=streams)
        with pytest.raises(Overloaded):
            scheduler.submit(iter(()), 30.0, lambda: None, streams=streams)


def test_a_deadline_ends_a_job_between_steps(bench: Bench) -> None:
    job = bench.submit("a", 100, seconds=0.1)
    bench.go(1)
    time.sleep(0.15)
    bench.go(1)
    last = bench.result(job)[-1]
    assert isinstance(last, Failed)
    assert last.code == FailureCode.DEADLINE
    assert "0.1 seconds" in last.message
    assert bench.diary[-1] == "a closed"


def test_a_reader_that_is_slow_parks_its_own_job_only() -> None:
    bench = Bench(room=3)
    bench.scheduler.start()
    slow = bench.submit("slow", 10)
    bench.go(100)
    time.sleep(0.05)
    assert bench.diary.count("slow") == 3
    other = bench.submit("other", 2)
    assert len(bench.result(other)) == 3
    assert bench.diary.count("slow") == 3
    assert len(bench.result(slow)) == 11
    bench.scheduler.close()


def test_a_reader_that_never_reads_does_not_hold_its_place_for_ever() -> None:
    bench = Bench(room=1)
    bench.scheduler.start()
    bench.go(100)
    bench.submit("slow", 10, seconds=0.1)
    time.sleep(0.3)
    assert bench.scheduler.jobs == 0
    assert bench.diary == ["slow", "slow closed"]
    bench.scheduler.close()


def test_an_exception_ends_its_own_job_only(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[Event]:
        yield Progress(done=1, total=2)
        raise ZeroDivisionError("secret")

    good = bench.submit("good", 5)
    bad = bench.scheduler.submit(broken(), 30, bench.news.set)
    bench.go(5)
    last = bench.result(bad)[-1]
    assert isinstance(last, Failed)
    assert last.code == FailureCode.INTERNAL
    assert "secret" not in last.message
    assert "secret" in caplog.text
    assert "Traceback" in caplog.text
    assert bench.result(good)[-1] == Done()


def test_an_exception_while_closing_is_contained(bench: Bench) -> None:
    def stubborn() -> Iterator[Event]:
        try:
            yield Progress(done=0, total=1)
            yield Progress(done=1, total=1)
        finally:
            raise ValueError("cannot close")

    job = bench.scheduler.submit(stubborn(), 0.1, bench.news.set)
    while not job.finished:
        time.sleep(0.01)
    bench.go(1)
    assert bench.result(bench.submit("next", 1))[-1] == Done()


def test_a_reader_without_an_event_loop_is_harmless(bench: Bench) -> None:
    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    job = bench.scheduler.submit(bench.steps("a", 1), 30, gone)
    bench.go(1)
    assert bench.result(job)[-1] == Done()


def test_closing_ends_all_jobs(bench: Bench) -> None:
    running, waiting = bench.submit("a", 10), bench.submit("b", 10)
    bench.go(1)
    time.sleep(0.05)
    closing = threading.Thread(target=bench.scheduler.close)
    closing.start()
    time.sleep(0.05)
    bench.go(1)
    closing.join(5)
    assert not closing.is_alive()
    for job in (running, waiting):
        last = bench.scheduler.take(job)[-1]
        assert isinstance(last, Failed)
        assert last.code == FailureCode.STOPPED
    late = bench.submit("late", 1)
    assert [event.event for event in bench.scheduler.take(late)] == ["failed"]


def test_a_device_that_is_missing_breaks_every_job_with_its_sentence() -> None:
    def prepare() -> None:
        raise ModelError("This machine has no usable device 'cuda'.")

    bench = Bench(prepare)
    assert bench.scheduler.phase == HealthPhase.STARTING
    bench.scheduler.start()
    bench.go(5)
    last = bench.result(bench.submit("a", 1))[-1]
    assert isinstance(last, Failed)
    assert last.code == FailureCode.REFUSED
    assert "no usable device" in last.message
    assert bench.scheduler.phase == HealthPhase.BROKEN
    bench.scheduler.close()


def test_the_step_in_progress_is_timed(bench: Bench) -> None:
    assert bench.scheduler.step_seconds == 0.0
    job = bench.submit("a", 1)
    time.sleep(0.1)
    assert bench.scheduler.step_seconds >= 0.05
    assert bench.scheduler.jobs == 1
    bench.go(1)
    bench.result(job)
    assert bench.scheduler.step_seconds == 0.0
