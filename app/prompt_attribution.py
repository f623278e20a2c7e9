"""Which features are responsible for one prediction: estimates, then exact changes as they come."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.prompt_query import FeatureName
from app.prompt_reading import column
from app.worker.events import Attributed, Estimated, Progress, Result


class Attribution:
    """The answer to an AttributeRequest, as far as it has arrived.

    Changes are log p_clean - log p_ablated of the prediction in question, nats; positive: the
    feature helped.

    Attributes:
        log_probability: of the prediction, undisturbed, nats; NaN before the first event.
        features: every feature in question, ascending, int32 [n].
        estimates: first-order changes, float32 [n].
        exact: exact changes, float32 [n]; NaN where not known yet.
    """

    def __init__(self) -> None:
        self.log_probability = math.nan
        self.features: NDArray[np.int32] = np.zeros(0, np.int32)
        self.estimates: NDArray[np.float32] = np.zeros(0, np.float32)
        self.exact: NDArray[np.float32] = np.zeros(0, np.float32)

    def take(self, event: Result | Progress) -> None:
        """Take in one event of the answer.

        Raises:
            ValueError: it does not fit to those before.
        """
        if isinstance(event, Estimated):
            features = column(event.features, "<i4")
            estimates = column(event.loss_change, "<f4")
            if len(features) != len(estimates) or (np.diff(features) <= 0).any():
                raise ValueError("columns of the estimates differ, or are not in order")
            self.log_probability = event.log_probability
            self.features, self.estimates = features, estimates
            self.exact = np.full(len(features), np.nan, np.float32)
        elif isinstance(event, Attributed):
            features = column(event.features, "<i4")
            changes = column(event.loss_change, "<f4")
            if len(features) != len(changes) or not np.isin(features, self.features).all():
                raise ValueError("exact changes of features that are not in question")
            self.exact[np.searchsorted(self.features, features)] = changes

    @property
    def known(self) -> int:
        """How many exact changes have arrived."""
        return int(np.isfinite(self.exact).sum())

    @property
    def begun(self) -> bool:
        """Whether the estimates are there."""
        return not math.isnan(self.log_probability)

    @property
    def complete(self) -> bool:
        """Whether every change is exact."""
        return self.begun and self.known == len(self.features)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return 3 * self.exact.nbytes

    def of(self, feature: int) -> tuple[float, float]:
        """Estimate and exact change of one feature; NaN where there is none."""
        place = int(np.searchsorted(self.features, feature))
        if place == len(self.features) or self.features[place] != feature:
            return math.nan, math.nan
        return float(self.estimates[place]), float(self.exact[place])


@dataclass(frozen=True)
class Ranking:
    """The features of several dictionaries by what they do to one prediction.

    Attributes:
        names: the features in question.
        estimates: first-order changes, nats, float32 [n].
        exact: exact changes, float32 [n]; NaN where not known yet.
        log_probability: of the prediction, undisturbed; NaN before anything is known.
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


def ranking(attributions: Mapping[str, Attribution], dictionaries: Collection[str]) -> Ranking:
    """What is known by now of the features of these dictionaries."""
    begun = {
        name: one
        for name in dictionaries
        if (one := attributions.get(name)) is not None and one.begun
    }
    none = np.zeros(0, np.float32)
    return Ranking(
        names=tuple(
            FeatureName(name, index)
            for name, one in begun.items()
            for index in one.features.tolist()
        ),
        estimates=np.concatenate([none, *(one.estimates for one in begun.values())]),
        exact=np.concatenate([none, *(one.exact for one in begun.values())]),
        log_probability=next((one.log_probability for one in begun.values()), math.nan),
        complete=len(begun) == len(dictionaries) and all(one.complete for one in begun.values()),
    )
