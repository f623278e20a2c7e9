"""What pages ask the worker about prompts, each question once while its answer is remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import WorkerUnavailable
from app.store.types.catalogue import DictionaryView
from app.worker.client.attributions import Attribution
from app.worker.client.faults import STRANGE
from app.worker.client.readings import (
    MonitoredText,
    Occlusion,
    Reading,
    TextMaxima,
    monitored_texts,
    occlusion,
    reading,
    text_maxima,
)
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.client.streaming import LiveWorker
from app.worker.client.waiters import collected, wait_for
from app.worker.protocol.arrays import unpack, unpack_float32
from app.worker.protocol.events import ContextDone, Progress, Result, TextEmbedded, Together
from app.worker.protocol.monitors import LevelsRequest, WatchedMonitor
from app.worker.protocol.requests import (
    AblateRequest,
    AttributeRequest,
    EmbedRequest,
    MaximaRequest,
    ModelRef,
    OccludeRequest,
    ReadRequest,
    TogetherRequest,
    Tokens,
    WorkRequest,
)
from sae_core.harvest.records import ContextEffect

MOST_BYTES = 64 * 2**20
MOST_ANSWERS = 256

T = TypeVar("T")
Events = list[Result | Progress]


class PromptWork:
    """The worker's answers about prompts, for plain `def` routes, which are called again after each
    wait (`app/worker/client/waiters.py`).

    What a prompt means depends on the prompt, the model and the dictionary alone, so that an answer
    stays true; the last ones are remembered, and a page that is only ordered in another way asks
    for nothing. Safe to share between threads of one event loop.

    Every method raises what `WorkerClient` raises, and Pending.
    """

    def __init__(self, live: LiveWorker) -> None:
        self._live = live
        self._known = Remembered(MOST_ANSWERS, MOST_BYTES)

    def read(
        self,
        model: DictionaryView,
        prompt: str | Tokens,
        dictionaries: Sequence[DictionaryView] = (),
    ) -> Reading:
        """Read a prompt with some dictionaries of a model, which any of its dictionaries names."""
        request = ReadRequest(
            model=model_ref(model),
            prompt=prompt,
            dictionaries=tuple(map(dictionary_ref, dictionaries)),
        )
        return self._answer(request, lambda events: reading(events, len(dictionaries)))

    def maxima(self, dictionary: DictionaryView, texts: Sequence[str]) -> TextMaxima:
        """The largest activation of every feature on each text."""
        request = MaximaRequest(
            model=model_ref(dictionary), dictionary=dictionary_ref(dictionary), texts=tuple(texts)
        )
        return self._answer(request, lambda events: text_maxima(events, len(texts)))

    def levels(
        self,
        dictionary: DictionaryView,
        monitors: Sequence[WatchedMonitor],
        texts: Sequence[str],
    ) -> list[MonitoredText]:
        """What monitors are on some texts, of a model that any of its dictionaries names."""
        request = LevelsRequest(
            model=model_ref(dictionary), monitors=tuple(monitors), texts=tuple(texts)
        )
        return self._answer(request, lambda events: monitored_texts(events, len(texts)))

    def embed(self, folder: str, checksum: str, text: str) -> NDArray[np.float32]:
        """What a text means to a sentence model, float32 [d], of length 1."""
        request = EmbedRequest(model=ModelRef(path=folder, checksum=checksum), text=text)
        return self._answer(request, _embedded)

    def ablate(
        self, dictionary: DictionaryView, feature: int, contexts: Sequence[Tokens]
    ) -> list[ContextEffect]:
        """What removing a feature does to each of some token sequences."""
        request = AblateRequest(
            model=model_ref(dictionary),
            dictionary=dictionary_ref(dictionary),
            feature=feature,
            contexts=tuple(contexts),
        )
        return self._answer(request, lambda events: _effects(events, len(contexts)))

    def occlude(
        self,
        dictionary: DictionaryView,
        feature: int,
        tokens: Tokens,
        position: int | None,
        replacement: int | None,
    ) -> Occlusion:
        """How a feature's activation changes when each token is left out or replaced."""
        request = OccludeRequest(
            model=model_ref(dictionary),
            dictionary=dictionary_ref(dictionary),
            feature=feature,
            tokens=tokens,
            position=position,
            replacement=replacement,
        )
        return self._answer(request, occlusion)

    def together(
        self,
        dictionary: DictionaryView,
        tokens: Tokens,
        position: int,
        target: int | None,
        features: Sequence[int],
    ) -> float:
        """What ablating some features at once does to one prediction, nats."""
        request = TogetherRequest(
            model=model_ref(dictionary),
            dictionary=dictionary_ref(dictionary),
            tokens=tokens,
            position=position,
            target=target,
            features=tuple(sorted(set(features))),
        )
        return self._answer(request, _together)

    def attribution(self, request: AttributeRequest) -> Attribution:
        """The exact effect of each active feature on one prediction; waits for all of them."""
        known = self.known_attribution(request)
        return known if known is not None and known.complete else self._ask(request, _attribution)

    def known_attribution(self, request: AttributeRequest) -> Attribution | None:
        """As much of the same as is remembered."""
        known = self._known.get(_key(request))
        return known if isinstance(known, Attribution) else None

    def remember(self, request: AttributeRequest, attribution: Attribution) -> None:
        """Keep an attribution that is streamed elsewhere; it may still be growing."""
        self._known.put(_key(request), attribution, attribution.nbytes)

    def _answer(self, request: WorkRequest, read: Callable[[Events], T]) -> T:
        known: T | None = self._known.get(_key(request))
        return self._ask(request, read) if known is None else known

    def _ask(self, request: WorkRequest, read: Callable[[Events], T]) -> T:
        return wait_for(_key(request), partial(self._work, request, read))

    async def _work(self, request: WorkRequest, read: Callable[[Events], T]) -> T:
        events = await collected(self._live, request)
        try:
            answer = read(events)
        except ValueError as error:
            raise WorkerUnavailable(STRANGE) from error
        self._known.put(_key(request), answer, getattr(answer, "nbytes", 1000))
        return answer


class Remembered:
    """The answers that were used last, up to a number of them and of bytes. Thread-safe."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._answers: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """The answer, or None."""
        with self._lock:
            if key not in self._answers:
                return None
            self._answers.move_to_end(key)
            return self._answers[key][0]

    def put(self, key: Hashable, answer: object, size: int) -> None:
        """Keep an answer of about `size` bytes, and forget those that were not used for longest."""
        with self._lock:
            if key in self._answers:
                self._bytes -= self._answers.pop(key)[1]
            self._answers[key] = answer, size
            self._bytes += size
            while len(self._answers) > self._most or (
                self._bytes > self._most_bytes and len(self._answers) > 1
            ):
                self._bytes -= self._answers.popitem(last=False)[1][1]


def _key(request: WorkRequest) -> Hashable:
    return type(request), request


def _effects(events: Events, n: int) -> list[ContextEffect]:
    effects = {event.index: unpack(event) for event in events if isinstance(event, ContextDone)}
    if sorted(effects) != list(range(n)):
        raise ValueError(f"{n} contexts, but effects on {sorted(effects)}")
    return [effects[index] for index in range(n)]


def _embedded(events: Events) -> NDArray[np.float32]:
    for event in events:
        if isinstance(event, TextEmbedded):
            return unpack_float32(event.vector)
    raise ValueError("the answer has no vector")


def _together(events: Events) -> float:
    for event in events:
        if isinstance(event, Together):
            return event.loss_change
    raise ValueError("the answer does not say the joint change")


def _attribution(events: Events) -> Attribution:
    attribution = Attribution()
    for event in events:
        attribution.take(event)
    if not attribution.complete:
        raise ValueError("some features have no exact change")
    return attribution
