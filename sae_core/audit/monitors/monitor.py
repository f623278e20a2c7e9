"""A monitor: what is read on each token of a text, and how a text's tokens become one level.

On a token with the activation x the level is

    sum_f weight_f a_f(x)        of features, or
    direction . x + offset       of a probe on the raw activation,

and of a text the largest, the mean or the last of its tokens' levels, special tokens left out. A
text raises the alarm where its level is above the threshold, not where it equals it: with the
threshold 0, a feature raises it wherever it fires.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import MonitorError

Numbers = NDArray[np.float64]


class LevelPooling(StrEnum):
    """How the levels of a text's tokens become one."""

    MAX = "max"
    MEAN = "mean"
    LAST = "last"

    def of(self, levels: Numbers) -> float:
        """The level of a text whose tokens have these levels, [n]; NaN without tokens."""
        if not len(levels):
            return math.nan
        if self is LevelPooling.LAST:
            return float(levels[-1])
        return float(levels.max() if self is LevelPooling.MAX else levels.mean())


@dataclass(frozen=True)
class Monitor:
    """What is watched.

    Attributes:
        members: features and their weights; empty: the raw activation is read.
        direction: of the raw activation, [d_in]; empty: features are read.
        offset: what is added to the product with the direction.
        pooling: over a text's tokens.
    """

    members: tuple[tuple[int, float], ...] = ()
    direction: tuple[float, ...] = ()
    offset: float = 0.0
    pooling: LevelPooling = LevelPooling.MAX

    def __post_init__(self) -> None:
        if bool(self.members) == bool(self.direction):
            raise MonitorError("A monitor reads either features or a direction.")
        numbers = [weight for _, weight in self.members] + [*self.direction, self.offset]
        if not all(map(math.isfinite, numbers)):
            raise MonitorError("The weights of a monitor are finite numbers.")
        if len({feature for feature, _ in self.members}) < len(self.members):
            raise MonitorError("A monitor reads each feature once.")

    def as_json(self) -> dict[str, Any]:
        """Lists, texts and numbers."""
        return asdict(self) | {"pooling": self.pooling.value}


def monitor_of(value: Mapping[str, Any]) -> Monitor:
    """What `as_json` made, checked.

    Raises:
        MonitorError: it is something else.
    """
    try:
        return Monitor(
            members=tuple((int(feature), float(weight)) for feature, weight in value["members"]),
            direction=tuple(map(float, value["direction"])),
            offset=float(value["offset"]),
            pooling=LevelPooling(value["pooling"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MonitorError("This is no monitor, or it is damaged.") from error


def weighted(features: Mapping[int, float], shares: Mapping[int, float] | None = None) -> Monitor:
    """Features together: the mean over them of activation by maximum, as traits of chat have it.

    Args:
        features: the largest activation of each; those that never fire are left out.
        shares: how much each counts, in any unit, less than 0 where it speaks against; None: all
            alike.

    Raises:
        MonitorError: none ever fires.
    """
    firing = {feature: maximum for feature, maximum in features.items() if maximum > 0}
    counts = {feature: 1.0 if shares is None else shares[feature] for feature in firing}
    total = sum(map(abs, counts.values()))
    if not total:
        raise MonitorError("None of these features ever fires: there is nothing to watch.")
    return Monitor(
        tuple((feature, counts[feature] / total / top) for feature, top in firing.items())
    )
