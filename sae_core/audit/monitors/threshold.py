"""A threshold for a wanted false-positive rate, and what can be promised of it.

The texts are halved by documents. One half chooses: with n texts and the wanted rate r, let
k = floor(r (n + 1)); the threshold lies at their k-th largest level. A new text of the same kind
is above it with a probability of at most k / (n + 1) <= r: of n + 1 texts that came in any order,
each is as likely as any other to be among the k largest (Vovk, Gammerman and Shafer 2005;
Angelopoulos and Bates 2021, arXiv:2107.07511). That is a mean over halves that could have been
drawn. The other half states what this threshold does: its rate, with the exact interval of Clopper
and Pearson (1934), which takes texts as independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from sae_core.audit.monitors.monitor import Numbers
from sae_core.errors import MonitorError

FEWEST_ALARMS = 5  # expected in each half: fewer, and the interval says next to nothing
_MARGIN = 1e-5  # of a level: the last bits of a level depend on the batch that it was read in
_ROUNDING = 1e-9

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class AlarmShare:
    """How many of some texts are above a threshold.

    Attributes:
        texts: how many there are.
        alarms: how many of them are above it.
        low: lower end of the share's exact 95 % interval.
        high: upper end.
    """

    texts: int
    alarms: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Of the texts; NaN without texts."""
        return self.alarms / self.texts if self.texts else math.nan


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold and the rates that go with it.

    Attributes:
        threshold: texts above it raise the alarm.
        rate: the wanted false-positive rate.
        chosen: of the half that chose it.
        stated: of the other half.
        silent: the share of all texts whose level is exactly 0.
        seed: of the halves.
    """

    threshold: float
    rate: float
    chosen: AlarmShare
    stated: AlarmShare
    silent: float
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Texts and numbers."""
        return asdict(self)


def threshold_of(value: Mapping[str, Any]) -> ChosenThreshold:
    """What `as_json` made, checked.

    Raises:
        MonitorError: it is something else.
    """
    try:
        numbers = [float(value[name]) for name in ("threshold", "rate", "silent")]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("not finite")
        return ChosenThreshold(
            threshold=numbers[0],
            rate=numbers[1],
            chosen=share_of(value["chosen"]),
            stated=share_of(value["stated"]),
            silent=numbers[2],
            seed=int(value["seed"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MonitorError("These are no rates of a monitor, or they are damaged.") from error


def share_of(value: Mapping[str, Any]) -> AlarmShare:
    """An `AlarmShare` that was made JSON, without its interval, which follows."""
    return alarm_share(int(value["alarms"]), int(value["texts"]))


def alarm_share(alarms: int, texts: int) -> AlarmShare:
    """A share with its exact interval (Clopper and Pearson 1934); without texts anything may be."""
    if not texts:
        return AlarmShare(0, 0, 0.0, 1.0)
    interval = binomtest(alarms, texts).proportion_ci(0.95, method="exact")
    return AlarmShare(texts, alarms, float(interval.low), float(interval.high))


def above(levels: Numbers, threshold: float) -> AlarmShare:
    """How many of some levels [n] are above a threshold."""
    return alarm_share(int((levels > threshold).sum()), len(levels))


def choose_threshold(
    levels: Numbers, documents: NDArray[np.int64], rate: float, seed: int = 0
) -> ChosenThreshold:
    """A threshold chosen on half of the documents, and stated on the other.

    Args:
        levels: of texts, finite, float64 [n].
        documents: which document each text is of, [n]: all texts of one are in one half.
        rate: the wanted false-positive rate, between 0 and 1.
        seed: of the halves.

    Raises:
        MonitorError: there are too few texts for such a rate.
    """
    choosing = _halves(documents, seed)
    _check_enough(int(choosing.sum()), int((~choosing).sum()), rate)
    threshold = threshold_for(levels[choosing], rate)
    return ChosenThreshold(
        threshold=threshold,
        rate=rate,
        chosen=above(levels[choosing], threshold),
        stated=above(levels[~choosing], threshold),
        silent=float((levels == 0).mean()),
        seed=seed,
    )


def threshold_for(levels: Numbers, rate: float) -> float:
    """The threshold that keeps a promised rate: at the k-th largest of some levels [n].

    It lies a little above that level, so that the last bits of a level decide nothing, but below
    the next larger one; a level of 0 is exact.
    """
    k = math.floor(rate * (len(levels) + 1) + _ROUNDING)
    base = float(np.sort(levels)[len(levels) - k])
    larger = levels[levels > base]
    room = (float(larger.min()) - base) / 2 if len(larger) else math.inf
    return base + min(room, _MARGIN * abs(base))


def _halves(documents: NDArray[np.int64], seed: int) -> Mask:
    """Which texts choose: those of half of the documents, at random."""
    every = np.unique(documents)
    drawn = np.random.default_rng(seed).permutation(every)[: (len(every) + 1) // 2]
    return np.isin(documents, drawn)


def _check_enough(choosing: int, stating: int, rate: float) -> None:
    fewest = min(choosing, stating)
    if fewest * rate < FEWEST_ALARMS - _ROUNDING:
        needed = math.ceil(FEWEST_ALARMS / rate - _ROUNDING)
        possible = f"{100 * FEWEST_ALARMS / fewest:.2g} % or more" if fewest > FEWEST_ALARMS else ""
        raise MonitorError(
            f"A false-positive rate of {100 * rate:.3g} % needs at least {needed:,} texts in each "
            f"half, on which {FEWEST_ALARMS} alarms are expected: one half has {choosing:,}, the "
            f"other {stating:,}. Give more text, or ask for "
            f"{possible or 'a larger rate of more text'}."
        )
