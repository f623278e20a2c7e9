"""From the worker's events to what the JSON interface answers about steering."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool

from app.errors import WorkerUnavailable
from app.pages.steer import schema as types
from app.pages.steer.requests import DoseTask, SteerTask
from app.rendering.tokens import Typeset, printable
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.web.live.stream import LiveEvent
from app.web.model import AddressedModel
from app.web.schema import floats
from app.worker.client.blocking import STRANGE
from app.worker.protocol.arrays import unpack_float32, unpack_int32
from app.worker.protocol.events import (
    DoseBase,
    DosePoint,
    Generated,
    Progress,
    Result,
    SideEffects,
    SteerBegan,
    Traits,
)


def feature_name(row: FeatureRow, typeset: Typeset) -> types.NamedFeature:
    """What to call a feature."""
    return types.NamedFeature(
        index=row.index,
        label=printable(row.label),
        raised=[typeset.visible[token] for token in row.strongest],
        maximum=row.maximum,
    )


class SteerSpeech:
    """Says the events of one steering request.

    Args:
        model: has the names of features.
        steer: what was asked.
    """

    def __init__(self, model: AddressedModel, steer: SteerTask) -> None:
        self._store = model.store
        self._typeset = model.typeset
        self._steer = steer

    async def say(self, event: Result | Progress) -> LiveEvent | None:
        """As `answer`, on the event loop: what asks the store is asked in a thread."""
        if isinstance(event, Traits | SideEffects):
            return await run_in_threadpool(self.answer, event)
        return self.answer(event)

    def answer(self, event: Result | Progress) -> LiveEvent | None:
        """What an event of the worker is to a client; None: nothing.

        Raises:
            WorkerUnavailable: the event makes no sense.
        """
        try:
            match event:
                case Generated():
                    return self._token(event)
                case SteerBegan():
                    return self._began(event)
                case Progress():
                    return types.WaitEvent(**event.model_dump())
                case Traits() | SideEffects() if (about := self._steer.traits) is not None:
                    make = self._traits if isinstance(event, Traits) else self._side_effects
                    return make(event, about)
                case _:
                    return None
        except (ValueError, IndexError) as error:
            raise WorkerUnavailable(STRANGE) from error

    def _began(self, event: SteerBegan) -> types.BeganEvent:
        tokens = unpack_int32(event.tokens).tolist()
        return types.BeganEvent(tokens=tokens, text=[self._typeset.real[t] for t in tokens])

    def _token(self, event: Generated) -> types.TokenEvent:
        shown = printable(event.text)
        return types.TokenEvent(**event.model_dump(), shown=None if shown == event.text else shown)

    def _traits(self, event: Any, about: DictionaryView) -> types.TraitsEvent:
        unsteered, steered = unpack_float32(event.unsteered), unpack_float32(event.steered)
        n = len(unsteered)
        features = unpack_int32(event.features).reshape(n, -1) if n else np.zeros((0, 0), np.int32)
        activations = unpack_float32(event.activations).reshape(features.shape)
        there = features >= 0
        return types.TraitsEvent(
            pane=event.pane,
            dictionary=about.name,
            perplexity=event.perplexity,
            unsteered=floats(unsteered),
            steered=floats(steered),
            features=[row[kept].tolist() for row, kept in zip(features, there, strict=True)],
            activations=[floats(row[kept]) for row, kept in zip(activations, there, strict=True)],
            names=self._names(np.unique(features[there]).tolist(), about),
        )

    def _side_effects(self, event: Any, about: DictionaryView) -> types.SideEffectsEvent:
        indices = unpack_int32(event.features).tolist()
        names = {name.index: name for name in self._names(indices, about)}
        means = zip(
            indices,
            floats(unpack_float32(event.unsteered)),
            floats(unpack_float32(event.steered)),
            strict=True,
        )
        reads: list[float | None] = [None] * self._steer.n_edits
        for place, value in zip(self._steer.places, event.reads, strict=True):
            reads[place] = value
        return types.SideEffectsEvent(
            dictionary=about.name,
            features=[
                types.Change(feature=names[index], unsteered=unsteered, steered=steered)
                for index, unsteered, steered in means
                if index in names
            ],
            reads=reads,
        )

    def _names(self, indices: Iterable[int], about: DictionaryView) -> list[types.NamedFeature]:
        rows: Mapping[int, FeatureRow] = self._store.rows(about, list(indices))
        return [feature_name(row, self._typeset) for row in rows.values()]


class DoseSpeech:
    """Says the events of one sweep of strengths."""

    def __init__(self, typeset: Typeset, dose: DoseTask) -> None:
        self._typeset = typeset
        self._dose = dose

    def say(self, event: Result | Progress) -> LiveEvent | None:
        """What an event of the worker is to a client; None: nothing."""
        match event:
            case DoseBase():
                request = self._dose.request
                return types.DoseBaseEvent(
                    maximum=request.maximum,
                    watched=[self._typeset.visible[token] for token in request.watched],
                    **event.model_dump(),
                )
            case DosePoint():
                return types.DosePointEvent(**event.model_dump(), shown=printable(event.text))
            case Progress():
                return types.WaitEvent(**event.model_dump())
            case _:
                return None
