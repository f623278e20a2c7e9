"""Ablation effects of stored contexts: from the store where cached, else from the worker, once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Protocol

from app.errors import StoreError, WorkerUnavailable
from app.store.types.catalogue import DictionaryView
from app.worker.client.blocking import RESTARTING, STRANGE
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.protocol.arrays import unpack
from app.worker.protocol.events import ContextDone, Progress, Result
from app.worker.protocol.requests import AblateRequest, WorkRequest
from sae_core.harvest.records import ContextEffect, WindowRecord

SAVE_SECONDS = 0.5

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


class EffectWorker(Protocol):
    """What is needed of the worker."""

    def ask(self, request: WorkRequest) -> Generator[Result | Progress, None, None]:
        """The events that answer a request."""


class Ablations:
    """What removing a feature does to stored contexts, each context computed at most once.

    Requests for the same feature wait for one another: the second finds in the store what the first
    has computed. Safe to share between threads.
    """

    def __init__(self, store: EffectStore, worker: EffectWorker) -> None:
        self._store = store
        self._worker = worker
        self._turns = Turns()

    def effects(
        self, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
    ) -> dict[int, ContextEffect]:
        """The effects of ablating feature `index`, by window number, all of them.

        Raises:
            WorkerUnavailable: the worker does not answer; what arrived until then is cached.
            Overloaded: the worker has too much to do.
            FeaturescopeError: the worker refused, with the reason.
        """
        wanted = {window.number: window for window in windows}
        effects = dict(self._store.effects(dictionary, index, list(wanted)))
        if len(effects) < len(wanted):
            with self._turns.take((dictionary.id, dictionary.digest, index)):
                effects |= self._store.effects(dictionary, index, list(wanted))
                missing = [window for number, window in wanted.items() if number not in effects]
                if missing:
                    effects |= self._compute(dictionary, index, missing)
        return {number: effects[number] for number in wanted}

    def _compute(
        self, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
    ) -> dict[int, ContextEffect]:
        """Ask the worker; save as effects arrive, so that nothing is lost when it dies half-way."""
        computed: dict[int, ContextEffect] = {}
        unsaved: dict[int, ContextEffect] = {}
        saved_at = time.monotonic()
        try:
            for number, effect in self._ask(dictionary, index, windows):
                computed[number] = unsaved[number] = effect
                if time.monotonic() - saved_at > SAVE_SECONDS:
                    self._save(dictionary, index, unsaved)
                    unsaved = {}
                    saved_at = time.monotonic()
        finally:
            self._save(dictionary, index, unsaved)
        if len(computed) < len(windows):
            raise WorkerUnavailable(RESTARTING)
        return computed

    def _ask(
        self, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
    ) -> Iterator[tuple[int, ContextEffect]]:
        """Window numbers and effects as the worker computes them."""
        request = ablate_request(dictionary, index, windows)
        with closing(self._worker.ask(request)) as events:
            for event in events:
                if not isinstance(event, ContextDone):
                    continue
                try:
                    yield windows[event.index].number, unpack(event)
                except (IndexError, ValueError) as error:
                    raise WorkerUnavailable(STRANGE) from error

    def _save(
        self, dictionary: DictionaryView, index: int, effects: Mapping[int, ContextEffect]
    ) -> None:
        if not effects:
            return
        try:
            self._store.save_effects(dictionary, index, effects)
        except StoreError as error:
            # The reader gets what was computed; only the next one has to wait again.
            log.warning("effects of feature %d are not cached: %s", index, error)


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


class Turns:
    """One lock for each key, kept only while somebody holds or awaits it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[object, tuple[threading.Lock, int]] = {}

    @contextmanager
    def take(self, key: object) -> Iterator[None]:
        """Wait for the key's lock and hold it."""
        with self._guard:
            lock, holders = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, holders + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, holders = self._locks[key]
                if holders == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, holders - 1)
