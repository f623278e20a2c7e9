"""Ablation effects of stored contexts: from the store where cached, else from the worker, once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from app.errors import StoreError, WorkerUnavailable
from app.store.types.catalogue import DictionaryView
from app.worker.client.faults import RESTARTING, STRANGE
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.client.streaming import LiveWorker
from app.worker.client.waiters import wait_for
from app.worker.protocol.arrays import unpack
from app.worker.protocol.events import ContextDone
from app.worker.protocol.requests import AblateRequest
from sae_core.harvest.records import ContextEffect, WindowRecord

SAVE_SECONDS = 0.5
MOST_UNSAVED = 4096  # contexts

log = logging.getLogger(__name__)


class EffectStore(Protocol):
    """What is needed of the store."""

    def effects(
        self, dictionary: DictionaryView, index: int, windows: Sequence[int]
    ) -> Mapping[int, ContextEffect]:
        """The cached effects of a feature on some windows, by window number."""

    def save_effects(
        self, dictionary: DictionaryView, index: int, effects: Mapping[int, ContextEffect]
    ) -> None:
        """Cache effects, unless another harvest has been published since."""


class Ablations:
    """What removing a feature does to stored contexts, each context computed at most once.

    Requests for the same feature wait for one another: the second finds what the first has
    computed. An answer never waits for its own caching: a store that another process is writing to
    gets its effects when it can, and until then they are known here.
    """

    def __init__(self, store: EffectStore, live: LiveWorker) -> None:
        self._store = store
        self._live = live
        self._turns = Turns()
        self._unsaved = Unsaved()
        self._saving: asyncio.Task[None] | None = None

    def effects(
        self, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
    ) -> dict[int, ContextEffect]:
        """The effects of ablating feature `index`, by window number, all of them.

        Called in a thread of a plain route, which is called again where it has to wait.

        Raises:
            Pending: some have to be computed.
            WorkerUnavailable: the worker does not answer; what arrived until then is cached.
            Overloaded: the worker has too much to do.
            FeaturescopeError: the worker refused, with the reason.
        """
        wanted = {window.number: window for window in windows}
        effects = self._known(dictionary, index, list(wanted))
        if not effects.keys() >= wanted.keys():
            effects = wait_for(
                ("effects", *_key(dictionary, index), *wanted),
                partial(self._compute, dictionary, index, wanted),
            )
        return {number: effects[number] for number in wanted}

    async def close(self) -> None:
        """Return when everything that was computed is cached, or cannot be."""
        if self._saving is not None:
            await self._saving

    def _known(
        self, dictionary: DictionaryView, index: int, windows: Sequence[int]
    ) -> dict[int, ContextEffect]:
        """What is cached, or about to be."""
        # First what is not saved: it goes from there only once it is in the store.
        effects = self._unsaved.of(dictionary, index)
        return effects | dict(self._store.effects(dictionary, index, windows))

    async def _compute(
        self, dictionary: DictionaryView, index: int, wanted: Mapping[int, WindowRecord]
    ) -> dict[int, ContextEffect]:
        """Ask the worker for what nobody has computed meanwhile. What arrives is kept at once, so
        that nothing is lost when the worker dies half-way."""
        async with self._turns.take(_key(dictionary, index)):
            effects = await run_in_threadpool(self._known, dictionary, index, list(wanted))
            missing = [window for number, window in wanted.items() if number not in effects]
            if not missing:
                return effects
            new: dict[int, ContextEffect] = {}
            saved_at = time.monotonic()
            try:
                async with aclosing(self._ask(dictionary, index, missing)) as arriving:
                    async for number, effect in arriving:
                        effects[number] = new[number] = effect
                        if time.monotonic() - saved_at > SAVE_SECONDS:
                            self._save(dictionary, index, new)
                            new, saved_at = {}, time.monotonic()
            finally:
                self._save(dictionary, index, new)
        if not effects.keys() >= wanted.keys():
            raise WorkerUnavailable(RESTARTING)
        return effects

    async def _ask(
        self, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
    ) -> AsyncGenerator[tuple[int, ContextEffect], None]:
        """Window numbers and effects as the worker computes them."""
        request = ablate_request(dictionary, index, windows)
        async with aclosing(self._live.ask(request)) as events:
            async for event in events:
                if not isinstance(event, ContextDone):
                    continue
                try:
                    yield windows[event.index].number, unpack(event)
                except (IndexError, ValueError) as error:
                    raise WorkerUnavailable(STRANGE) from error

    def _save(
        self, dictionary: DictionaryView, index: int, effects: Mapping[int, ContextEffect]
    ) -> None:
        """Have effects cached by and by."""
        if not effects:
            return
        self._unsaved.add(dictionary, index, effects)
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save_all())

    async def _save_all(self) -> None:
        """Cache what is there, feature by feature, on one thread."""
        while (entry := self._unsaved.first()) is not None:
            dictionary, index, effects = entry
            try:
                await run_in_threadpool(self._store.save_effects, dictionary, index, effects)
            except StoreError as error:
                # The reader has what was computed; only the next one has to wait again.
                log.warning("effects of feature %d are not cached: %s", index, error)
            finally:
                self._unsaved.forget(dictionary, index, effects)


def ablate_request(
    dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
) -> AblateRequest:
    """The self-contained request for a feature's effects on windows, in their order."""
    return AblateRequest(
        model=model_ref(dictionary),
        dictionary=dictionary_ref(dictionary),
        feature=index,
        contexts=tuple(tuple(window.tokens.tolist()) for window in windows),
    )


def _key(dictionary: DictionaryView, index: int) -> tuple[Hashable, ...]:
    return dictionary.id, dictionary.digest, index


class Unsaved:
    """Effects that wait for the store, up to `most` contexts. Thread-safe."""

    def __init__(self, most: int = MOST_UNSAVED) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._entries: dict[Hashable, tuple[DictionaryView, int, dict[int, ContextEffect]]] = {}

    def add(
        self, dictionary: DictionaryView, index: int, effects: Mapping[int, ContextEffect]
    ) -> None:
        """Keep effects of a feature; where there is no more room they are forgotten."""
        with self._lock:
            kept = sum(len(entry[2]) for entry in self._entries.values())
            if kept + len(effects) > self._most:
                log.warning("effects of feature %d are not cached: the store is too slow", index)
                return
            entry = self._entries.setdefault(_key(dictionary, index), (dictionary, index, {}))
            entry[2].update(effects)

    def of(self, dictionary: DictionaryView, index: int) -> dict[int, ContextEffect]:
        """Those of a feature, by window number."""
        with self._lock:
            entry = self._entries.get(_key(dictionary, index))
            return dict(entry[2]) if entry else {}

    def first(self) -> tuple[DictionaryView, int, dict[int, ContextEffect]] | None:
        """A copy of the first entry; None where there is none."""
        with self._lock:
            entry = next(iter(self._entries.values()), None)
            return entry and (entry[0], entry[1], dict(entry[2]))

    def forget(
        self, dictionary: DictionaryView, index: int, effects: Mapping[int, ContextEffect]
    ) -> None:
        """Drop effects that need not wait any longer."""
        with self._lock:
            entry = self._entries[_key(dictionary, index)]
            for number in effects:
                del entry[2][number]
            if not entry[2]:
                del self._entries[_key(dictionary, index)]


class Turns:
    """One lock for each key, kept only while somebody holds or awaits it."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def take(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for the key's lock and hold it."""
        lock, holders = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, holders + 1)
        try:
            async with lock:
                yield
        finally:
            lock, holders = self._locks[key]
            if holders == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, holders - 1)
