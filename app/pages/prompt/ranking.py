"""Which features are responsible for a prediction, strongest first."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.pages.prompt.query import FeatureName
from app.worker.client.attributions import Attribution


@dataclass(frozen=True)
class EffectRanking:
    """The features of several dictionaries by what they do to one prediction.

    Attributes:
        names: the features in question.
        estimates: first-order changes, nats, float32 [n].
        exact: exact changes, float32 [n]; NaN where not known yet.
        log_probability: what the undisturbed model gives the prediction, nats; NaN before
            anything is known.
        complete: whether all dictionaries have answered in full.
    """

    names: tuple[FeatureName, ...]
    estimates: NDArray[np.float32]
    exact: NDArray[np.float32]
    log_probability: float
    complete: bool

    @property
    def best(self) -> NDArray[np.float32]:
        """The exact change where it is known, else the estimate, float32 [n]."""
        best: NDArray[np.float32] = np.where(np.isfinite(self.exact), self.exact, self.estimates)
        return best

    @property
    def order(self) -> list[int]:
        """Places from the largest change to the smallest, whatever its sign."""
        order: list[int] = np.argsort(-np.abs(self.best), kind="stable").tolist()
        return order

    @property
    def known(self) -> int:
        """How many changes are exact."""
        return int(np.isfinite(self.exact).sum())


def ranking(
    attributions: Mapping[str, Attribution], dictionaries: Collection[str]
) -> EffectRanking:
    """What is known by now of the features of these dictionaries."""
    begun = {
        name: now
        for name in dictionaries
        if (attribution := attributions.get(name)) is not None
        and (now := attribution.effects).begun
    }
    none = np.zeros(0, np.float32)
    return EffectRanking(
        names=tuple(
            FeatureName(name, index)
            for name, effects in begun.items()
            for index in effects.features.tolist()
        ),
        estimates=np.concatenate([none, *(effects.estimates for effects in begun.values())]),
        exact=np.concatenate([none, *(effects.exact for effects in begun.values())]),
        log_probability=next((effects.log_probability for effects in begun.values()), math.nan),
        complete=len(begun) == len(dictionaries)
        and all(effects.complete for effects in begun.values()),
    )
