"""Effects come from the store where cached, from the worker once, and are shared."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence

import numpy as np
import pytest
from starlette.concurrency import run_in_threadpool

from app.errors import StoreError, WorkerUnavailable
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.worker.client.ablations import Ablations, Turns, Unsaved, ablate_request
from app.worker.client.waiters import Waiters
from app.worker.protocol.arrays import pack
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.requests import AblateRequest, WorkRequest
from sae_core.harvest.records import ContextEffect, WindowRecord
from tests import factories
from tests.own_loop import run

FEATURE = 1


class PretendWorker:
    """Answers with effects that depend on feature and tokens; knows what it was asked."""

    def __init__(self) -> None:
        self.requests: list[AblateRequest] = []
        self.seconds = 0.0
        self.dies_after: int | None = None
        self.skips: set[int] = set()
        self.closed = 0

    @property
    def computed(self) -> int:
        """Contexts asked for in all."""
        return sum(len(request.contexts) for request in self.requests)

    async def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        assert isinstance(request, AblateRequest)
        self.requests.append(request)
        try:
            yield Progress(done=0, total=len(request.contexts))
            for index, tokens in enumerate(request.contexts):
                await asyncio.sleep(self.seconds)
                if index == self.dies_after:
                    raise WorkerUnavailable("The worker is restarting.")
                if index not in self.skips:
                    yield pack(index, effect_of(request.feature, tokens))
        finally:
            self.closed += 1

    async def close(self) -> None:
        pass


async def effects(
    ablations: Ablations, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
) -> Mapping[int, ContextEffect]:
    """As a plain route asks for them."""

    def attempt() -> Mapping[int, ContextEffect]:
        return ablations.effects(dictionary, index, windows)

    return await Waiters().patiently(lambda: run_in_threadpool(attempt))


def ask(
    ablations: Ablations, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
) -> Mapping[int, ContextEffect]:
    """The same, waited for until all is cached."""

    async def work() -> Mapping[int, ContextEffect]:
        try:
            return await effects(ablations, dictionary, index, windows)
        finally:
            await ablations.close()

    return run(work())


def effect_of(feature: int, tokens: Sequence[int]) -> ContextEffect:
    return factories.effect(feature, int(sum(tokens)))


def same(left: ContextEffect, right: ContextEffect) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in vars(left))


@pytest.fixture
def worker() -> PretendWorker:
    return PretendWorker()


@pytest.fixture
def dictionary(sqlite_store: Store) -> DictionaryView:
    return sqlite_store.dictionary("demo", "mlp-12")


@pytest.fixture
def windows(sqlite_store: Store, dictionary: DictionaryView) -> list[WindowRecord]:
    """Six windows that the feature's examples point to."""
    return list(sqlite_store.feature(dictionary, FEATURE).windows.values())[:6]


@pytest.fixture
def ablations(sqlite_store: Store, worker: PretendWorker) -> Ablations:
    return Ablations(sqlite_store, worker)


def check(found: Mapping[int, ContextEffect], windows: Sequence[WindowRecord]) -> None:
    assert list(found) == [window.number for window in windows]
    for window in windows:
        assert same(found[window.number], effect_of(FEATURE, window.tokens.tolist()))


def test_what_is_computed_is_cached(
    ablations: Ablations,
    worker: PretendWorker,
    sqlite_store: Store,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    check(ask(ablations, dictionary, FEATURE, windows[:2]), windows[:2])
    check(ask(ablations, dictionary, FEATURE, windows), windows)
    check(ask(ablations, dictionary, FEATURE, windows), windows)
    assert [len(request.contexts) for request in worker.requests] == [2, 4]
    check(ask(Ablations(sqlite_store, worker), dictionary, FEATURE, windows), windows)
    assert worker.computed == 6


def test_nothing_to_do(
    ablations: Ablations, worker: PretendWorker, dictionary: DictionaryView
) -> None:
    assert ask(ablations, dictionary, FEATURE, []) == {}
    assert worker.requests == []


def test_a_window_given_twice_is_computed_once(
    ablations: Ablations,
    worker: PretendWorker,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    check(ask(ablations, dictionary, FEATURE, [windows[0], windows[0]]), windows[:1])
    assert worker.computed == 1


def test_concurrent_readers_share_one_computation(
    ablations: Ablations,
    worker: PretendWorker,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    worker.seconds = 0.03
    shown = [windows, windows, windows[:3], windows[2:]]

    async def work() -> list[Mapping[int, ContextEffect]]:
        return await asyncio.gather(
            *(effects(ablations, dictionary, FEATURE, part) for part in shown)
        )

    for answer, part in zip(run(work()), shown, strict=True):
        check(answer, part)
    assert worker.computed == 6


def test_different_features_do_not_wait_for_each_other(
    ablations: Ablations,
    worker: PretendWorker,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    worker.seconds = 0.1

    async def work() -> None:
        await asyncio.gather(
            *(effects(ablations, dictionary, feature, windows[:3]) for feature in range(3))
        )

    began = time.monotonic()
    run(work())
    assert time.monotonic() - began < 0.8
    assert worker.computed == 9


def test_what_arrived_before_the_worker_died_is_not_computed_again(
    ablations: Ablations,
    worker: PretendWorker,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    worker.dies_after = 4
    with pytest.raises(WorkerUnavailable):
        ask(ablations, dictionary, FEATURE, windows)
    worker.dies_after = None
    check(ask(ablations, dictionary, FEATURE, windows), windows)
    assert [len(request.contexts) for request in worker.requests] == [6, 2]
    assert worker.closed == 2


def test_the_one_who_waited_takes_over_when_the_first_fails(
    ablations: Ablations,
    worker: PretendWorker,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    worker.seconds, worker.dies_after = 0.05, 3

    async def work() -> tuple[WorkerUnavailable | None, Mapping[int, ContextEffect]]:
        first = asyncio.create_task(effects(ablations, dictionary, FEATURE, windows))
        while not worker.requests:
            await asyncio.sleep(0.001)
        second = await effects(ablations, dictionary, FEATURE, windows)
        await asyncio.wait([first])
        return first.exception(), second  # type: ignore[return-value]

    failure, answer = run(work())
    check(answer, windows)
    assert isinstance(failure, WorkerUnavailable)
    assert [len(request.contexts) for request in worker.requests] == [6, 3]


def test_a_slow_computation_is_saved_as_it_goes(
    ablations: Ablations,
    worker: PretendWorker,
    sqlite_store: Store,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    worker.seconds = 0.2
    numbers = [window.number for window in windows]

    async def work() -> int:
        asking = asyncio.create_task(effects(ablations, dictionary, FEATURE, windows))
        saved = 0
        while not asking.done() and not saved:
            saved = len(sqlite_store.effects(dictionary, FEATURE, numbers))
            await asyncio.sleep(0.02)
        await asking
        return saved

    assert 0 < run(work()) < 6


def test_an_answer_does_not_wait_for_its_own_caching(
    worker: PretendWorker,
    sqlite_store: Store,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    """The store is locked while the answer comes, and while another reader asks for the same."""
    unlocked = threading.Event()

    class Locked:
        def effects(
            self, dictionary: DictionaryView, index: int, windows: Sequence[int]
        ) -> Mapping[int, ContextEffect]:
            return sqlite_store.effects(dictionary, index, windows)

        def save_effects(
            self, dictionary: DictionaryView, index: int, effects: Mapping[int, ContextEffect]
        ) -> None:
            assert unlocked.wait(30)
            sqlite_store.save_effects(dictionary, index, effects)

    async def work() -> None:
        ablations = Ablations(Locked(), worker)
        for _ in range(2):
            check(await effects(ablations, dictionary, FEATURE, windows), windows)
        numbers = [window.number for window in windows]
        assert not sqlite_store.effects(dictionary, FEATURE, numbers)
        unlocked.set()
        await ablations.close()
        assert len(sqlite_store.effects(dictionary, FEATURE, numbers)) == len(windows)

    run(work())
    assert worker.computed == len(windows)


def test_what_the_store_never_takes_is_forgotten(
    dictionary: DictionaryView, caplog: pytest.LogCaptureFixture
) -> None:
    unsaved = Unsaved(most=3)
    unsaved.add(dictionary, 0, {1: effect_of(0, [1]), 2: effect_of(0, [2])})
    unsaved.add(dictionary, 1, {1: effect_of(1, [1]), 2: effect_of(1, [2])})
    assert sorted(unsaved.of(dictionary, 0)) == [1, 2]
    assert unsaved.of(dictionary, 1) == {}
    assert "too slow" in caplog.text


def test_an_answer_that_leaves_something_out_is_no_answer(
    ablations: Ablations,
    worker: PretendWorker,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
) -> None:
    worker.skips = {1}
    with pytest.raises(WorkerUnavailable):
        ask(ablations, dictionary, FEATURE, windows)


def test_an_answer_that_makes_no_sense_is_refused(
    ablations: Ablations, dictionary: DictionaryView, windows: list[WindowRecord]
) -> None:
    class Strange(PretendWorker):
        async def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
            yield pack(99, effect_of(0, [1]))

    strange = Ablations(ablations._store, Strange())
    with pytest.raises(WorkerUnavailable, match="same version"):
        ask(strange, dictionary, FEATURE, windows)


def test_a_full_disk_costs_the_cache_and_not_the_answer(
    worker: PretendWorker,
    sqlite_store: Store,
    dictionary: DictionaryView,
    windows: list[WindowRecord],
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Full:
        def effects(
            self, dictionary: DictionaryView, index: int, windows: Sequence[int]
        ) -> Mapping[int, ContextEffect]:
            return {}

        def save_effects(
            self, dictionary: DictionaryView, index: int, effects: Mapping[int, ContextEffect]
        ) -> None:
            raise StoreError("The disk is full: make room.")

    check(ask(Ablations(Full(), worker), dictionary, FEATURE, windows), windows)
    assert "The disk is full" in caplog.text


def test_requests_are_self_contained(
    sqlite_store: Store, dictionary: DictionaryView, windows: list[WindowRecord]
) -> None:
    request = ablate_request(dictionary, FEATURE, windows)
    assert request.model.path == dictionary.model_path
    assert request.model.checksum == dictionary.model_checksum
    assert request.model.dtype == "float32"
    assert request.dictionary.path == dictionary.path
    assert request.dictionary.checksum == dictionary.checksum
    assert request.contexts[0] == tuple(windows[0].tokens.tolist())
    neurons = ablate_request(sqlite_store.dictionary("demo", "neurons"), 0, windows)
    assert neurons.dictionary.path is None
    assert neurons.dictionary.checksum is None


def test_locks_are_forgotten_when_nobody_needs_them() -> None:
    async def work() -> None:
        turns = Turns()
        async with turns.take("a"), turns.take("b"):
            assert len(turns._locks) == 2
        with pytest.raises(ZeroDivisionError):
            async with turns.take("a"):
                raise ZeroDivisionError
        assert turns._locks == {}

    run(work())
