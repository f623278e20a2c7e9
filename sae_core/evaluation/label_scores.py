"""How well a label does, with a 95 % interval: shares, balanced accuracy, AUROC, correlation.

The unit is the excerpt, drawn one of a document. Each function says which interval it gives; the
tests hold them to brute force, and to how often they hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from sae_core.harvest.density import wilson_interval

_Z95 = float(special.ndtri(0.975))


@dataclass(frozen=True)
class LabelScore:
    """A score and how sure it is.

    Attributes:
        value: the score; NaN where there is too little to compute it from.
        low: lower end of its 95 % interval; NaN where there is none.
        high: upper end.
        n: excerpts, or trials, behind it.
    """

    value: float
    low: float
    high: float
    n: int


def share(hits: int, trials: int) -> LabelScore:
    """Share of trials that hit, with Wilson's interval; NaN without trials."""
    if not trials:
        return LabelScore(math.nan, math.nan, math.nan, 0)
    return LabelScore(hits / trials, *wilson_interval(hits, trials), trials)


def balanced_accuracy(actual: ArrayLike, predicted: ArrayLike) -> LabelScore:
    """Mean of the shares of firing and of silent excerpts that were told right.

    The interval joins Wilson's intervals of both shares (Newcombe 1998's square-and-add), so that
    it is no point where all were told right.

    Args:
        actual: whether the feature fires, bool [n].
        predicted: whether that was said, bool [n].
    """
    fires, said = np.asarray(actual, bool), np.asarray(predicted, bool)
    right = (
        share(int(said[fires].sum()), int(fires.sum())),
        share(int((~said[~fires]).sum()), int((~fires).sum())),
    )
    if not all(part.n for part in right):
        return LabelScore(math.nan, math.nan, math.nan, len(fires))
    value = sum(part.value for part in right) / 2
    below = math.hypot(*(part.value - part.low for part in right)) / 2
    above = math.hypot(*(part.high - part.value for part in right)) / 2
    return LabelScore(value, value - below, value + above, len(fires))


def auroc(firing: ArrayLike, silent: ArrayLike) -> LabelScore:
    """Chance that a firing excerpt is rated above a silent one; ties count half.

    The interval is DeLong's (1988) on the logit scale; where the ratings part perfectly, so that
    this has no width, Wilson's of that many out of the smaller group.

    Args:
        firing: ratings of excerpts in which the feature fires, float [n].
        silent: ratings of those in which it does not, float [m].
    """
    x, y = np.asarray(firing, np.float64), np.asarray(silent, np.float64)
    n, m = len(x), len(y)
    if n < 2 or m < 2:
        return LabelScore(math.nan, math.nan, math.nan, n + m)
    above = (x[:, None] > y).astype(np.float64) + 0.5 * (x[:, None] == y)
    value = float(above.mean())
    variance = float(above.mean(1).var(ddof=1) / n + above.mean(0).var(ddof=1) / m)
    if value in (0.0, 1.0) or variance == 0.0:
        least = min(n, m)
        return LabelScore(value, *wilson_interval(value * least, least), n + m)
    reach = _Z95 * math.sqrt(variance) / (value * (1 - value))
    middle = special.logit(value)
    return LabelScore(
        value, float(special.expit(middle - reach)), float(special.expit(middle + reach)), n + m
    )


def correlation(
    predicted: Sequence[NDArray[np.float64]], actual: Sequence[NDArray[np.float64]]
) -> LabelScore:
    """Pearson's correlation over all tokens of some excerpts, told and true.

    The interval is the jackknife's over excerpts on Fisher's scale, with Student's quantile: the
    tokens of one excerpt are not independent.

    Args:
        predicted: for each excerpt, activations as they were told, float [tokens].
        actual: the true ones, of the same shapes.
    """
    whole = _pearson(predicted, actual)
    n = len(actual)
    if n < 3 or not math.isfinite(whole):
        return LabelScore(whole, math.nan, math.nan, n)
    without = np.array(
        [
            _pearson(
                [p for j, p in enumerate(predicted) if j != i],
                [a for j, a in enumerate(actual) if j != i],
            )
            for i in range(n)
        ]
    )
    if not np.isfinite(without).all() or abs(whole) >= 1:
        return LabelScore(whole, math.nan, math.nan, n)
    z = np.arctanh(np.clip(without, -1 + 1e-12, 1 - 1e-12))
    error = math.sqrt((n - 1) / n * float(((z - z.mean()) ** 2).sum()))
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    middle = math.atanh(whole)
    return LabelScore(whole, math.tanh(middle - reach), math.tanh(middle + reach), n)


def _pearson(
    predicted: Sequence[NDArray[np.float64]], actual: Sequence[NDArray[np.float64]]
) -> float:
    p, a = np.concatenate(predicted), np.concatenate(actual)
    p, a = p - p.mean(), a - a.mean()
    scale = math.sqrt(float(p @ p) * float(a @ a))
    return float(p @ a) / scale if scale > 0 else math.nan


def null_p_value(value: float, nulls: Sequence[float]) -> float:
    """How rarely the same pipeline scores as high on what has no meaning.

    The share of null scores that are at least as high, the score itself counted among them: never
    below 1 / (n + 1), and at most 5 % in at most 5 % of cases where the feature is a null itself.
    NaN where there is no score; 1 without nulls.
    """
    if math.isnan(value):
        return math.nan
    finite = [null for null in nulls if not math.isnan(null)]
    return (1 + sum(null >= value for null in finite)) / (1 + len(finite))
