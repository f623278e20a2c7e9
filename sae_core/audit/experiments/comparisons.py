"""Arms compared: of every outcome the mean in each arm, and how far it is from another arm's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sae_core.audit.experiments.chance import flipped, holm, mcnemar
from sae_core.audit.experiments.intervals import MeanIntervals, at_most, tango
from sae_core.errors import ExperimentError
from sae_core.harvest.density import wilson_interval

FEWEST_PROMPTS = 30
"""With fewer, some of the intervals cover more or less than they say."""
LEVEL = 0.95

Numbers = NDArray[np.float64]
_Pair = tuple[str, "Against", tuple[int, ...]]


class Constant(StrEnum):
    """What an outcome is that has the same value on every prompt."""

    NO = "no"
    NEVER = "never"
    ALWAYS = "always"
    SAME = "same"


class Against(StrEnum):
    """What an arm is compared with."""

    UNSTEERED = "unsteered"
    CONTROL = "control"


@dataclass(frozen=True)
class OutcomeValues:
    """One outcome of all texts, averaged over the samples of a prompt.

    Attributes:
        name: of the outcome.
        values: float64 [prompts, arms]; NaN where it is not known.
        happens: whether it happens or not, so that it lies between 0 and 1.
    """

    name: str
    values: Numbers
    happens: bool


@dataclass(frozen=True)
class ArmMean:
    """An outcome in one arm.

    Attributes:
        arm: its name.
        outcome: its name.
        prompts: on which the outcome is known in every arm.
        mean: over them.
        low: lower end of its 95 % interval; where it never happens or always does, of the one-sided
            bound; NaN: all values are the same number.
        high: upper end.
        constant: whether it is the same on every prompt.
    """

    arm: str
    outcome: str
    prompts: int
    mean: float
    low: float
    high: float
    constant: Constant


@dataclass(frozen=True)
class ArmDifference:
    """An outcome in one arm less the same in another, prompt by prompt.

    Attributes:
        arm: its name.
        outcome: its name.
        against: what it is compared with; several controls are averaged.
        difference: of the means.
        low: lower end of its 95 % interval; NaN: no prompt differs, or all by the same.
        high: upper end.
        joint_low: lower end of the interval that holds together with those of all comparisons.
        joint_high: upper end.
        effect: the difference in standard deviations of the outcome, the root of the mean of both
            arms' variances; NaN where neither varies.
        differing: prompts whose value differs.
        p: two-sided.
        corrected: after Holm, over all comparisons.
    """

    arm: str
    outcome: str
    against: Against
    difference: float
    low: float
    high: float
    joint_low: float
    joint_high: float
    effect: float
    differing: int
    p: float
    corrected: float


@dataclass(frozen=True)
class ArmComparisons:
    """All figures of an experiment's outcomes.

    Attributes:
        means: outcome after outcome, arm after arm.
        differences: the same, against the unsteered model and then against the controls.
        level: of single intervals.
    """

    means: tuple[ArmMean, ...]
    differences: tuple[ArmDifference, ...]
    level: float = LEVEL


def compare_arms(
    outcomes: Sequence[OutcomeValues],
    arms: Sequence[str],
    controls: Mapping[str, Sequence[str]],
    seed: int = 0,
) -> ArmComparisons:
    """Compare every arm with the first one, and with its controls.

    Args:
        outcomes: values [prompts, arms].
        arms: names; the first is the unsteered model.
        controls: of an arm those that it is compared with.
        seed: of the bootstrap and of the tests.

    Raises:
        ExperimentError: an outcome is known on too few prompts.
    """
    pairs: list[_Pair] = [(arm, Against.UNSTEERED, (0,)) for arm in arms[1:]]
    for arm, names in controls.items():
        pairs.append((arm, Against.CONTROL, tuple(arms.index(name) for name in names)))
    joint = 1 - (1 - LEVEL) / max(1, len(pairs) * len(outcomes))
    means: list[ArmMean] = []
    differences: list[ArmDifference] = []
    for outcome in outcomes:
        known = outcome.values[~np.isnan(outcome.values).any(axis=1)]
        if len(known) < FEWEST_PROMPTS:
            raise ExperimentError(
                f"{outcome.name!r} is known on {len(known)} prompts in all arms: an interval needs "
                f"at least {FEWEST_PROMPTS}."
            )
        means += _means(outcome, known, arms, seed)
        differences += _differences(outcome, known, arms, pairs, joint, seed)
    corrected = holm(np.array([row.p for row in differences])).tolist()
    return ArmComparisons(
        tuple(means),
        tuple(replace(row, corrected=c) for row, c in zip(differences, corrected, strict=True)),
    )


def _means(outcome: OutcomeValues, known: Numbers, arms: Sequence[str], seed: int) -> list[ArmMean]:
    n = len(known)
    whole = outcome.happens and bool(np.isin(known, (0.0, 1.0)).all())
    intervals = None if whole else MeanIntervals(known, seed)
    rows = []
    for column, arm in enumerate(arms):
        values = known[:, column]
        mean, constant = float(values.mean()), _constant(values, outcome.happens)
        low = high = math.nan
        if constant is Constant.NEVER:
            low, high = 0.0, at_most(n, LEVEL)
        elif constant is Constant.ALWAYS:
            low, high = 1 - at_most(n, LEVEL), 1.0
        elif intervals is None:
            low, high = wilson_interval(float(values.sum()), n)
        elif constant is Constant.NO:
            low, high = intervals.at(column, LEVEL)
            if outcome.happens:
                low, high = max(0.0, low), min(1.0, high)
        rows.append(ArmMean(arm, outcome.name, n, mean, low, high, constant))
    return rows


def _constant(values: Numbers, happens: bool) -> Constant:
    if np.ptp(values) > 0:
        return Constant.NO
    if happens and values[0] in (0.0, 1.0):
        return Constant.ALWAYS if values[0] else Constant.NEVER
    return Constant.SAME


def _differences(
    outcome: OutcomeValues,
    known: Numbers,
    arms: Sequence[str],
    pairs: Sequence[_Pair],
    joint: float,
    seed: int,
) -> list[ArmDifference]:
    if not pairs:
        return []
    first = np.stack([known[:, arms.index(arm)] for arm, *_ in pairs], axis=1)
    second = np.stack([known[:, list(others)].mean(axis=1) for *_, others in pairs], axis=1)
    apart = first - second
    tables = [
        outcome.happens and bool(np.isin(column, (-1.0, 0.0, 1.0)).all()) for column in apart.T
    ]
    intervals = MeanIntervals(apart, seed)
    p_values = np.ones(len(pairs)) if all(tables) else flipped(apart, seed)
    rows = []
    for number, (arm, against, _) in enumerate(pairs):
        column = apart[:, number]
        more, fewer = int((column > 0).sum()), int((column < 0).sum())
        p = mcnemar(more, fewer) if tables[number] else float(p_values[number])
        spread = math.sqrt((first[:, number].var(ddof=1) + second[:, number].var(ddof=1)) / 2)
        ends = [math.nan] * 4
        if np.ptp(column) > 0:
            ends = [
                end
                for level in (LEVEL, joint)
                for end in (
                    tango(more, fewer, len(column), level)
                    if tables[number]
                    else intervals.at(number, level)
                )
            ]
            if outcome.happens:
                ends = [min(1.0, max(-1.0, end)) for end in ends]
        low, high, joint_low, joint_high = ends
        mean = float(column.mean())
        rows.append(
            ArmDifference(
                arm=arm,
                outcome=outcome.name,
                against=against,
                difference=mean,
                low=low,
                high=high,
                joint_low=joint_low,
                joint_high=joint_high,
                effect=mean / spread if spread > 0 else math.nan,
                differing=more + fewer,
                p=p,
                corrected=math.nan,
            )
        )
    return rows
