"""Intervals of means over prompts, and of means of paired differences.

Prompts are the unit: what several samples of one prompt say is averaged first.

An outcome that happens or not, once a prompt, differs by -1, 0 or 1; the interval of the mean is
Tango's (1998), which inverts the score test of McNemar's table and holds where few prompts differ.

Everything else has the hull of two intervals at the same level: the studentised bootstrap over
prompts (Efron and Tibshirani 1993, ch. 12),

    [d - s t*(1 - a/2), d - s t*(a/2)],    t* = (d* - d) / s*,    s = sd / sqrt(n),

and Student's, d ± s t(n - 1). The first follows a skewed outcome, on which the plain percentile
interval covers too little with few prompts; it comes out too short where nearly all prompts differ
by nothing, since many of the samples drawn again then have hardly any spread. There the second is
right. `python -m benchmarks.experiments --coverage` says how often they hold the truth.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

N_DRAWS = 10_000
_VALUES_AT_ONCE = 4_000_000

Numbers = NDArray[np.float64]


def tango(more: int, fewer: int, n: int, level: float) -> tuple[float, float]:
    """The interval of a difference of two shares of the same prompts.

    Args:
        more: prompts on which it happens in the first arm alone.
        fewer: on which it happens in the second alone.
        n: prompts in all.
        level: of the interval, such as 0.95.
    """
    z = float(special.ndtri(0.5 + level / 2))

    def beyond(difference: float) -> float:
        """How far the score at a difference is from z; it falls as the difference grows."""
        return _score(more, fewer, n, difference)

    edge = 1 - 1e-12
    low = -1.0 if beyond(-edge) < z else float(brentq(lambda d: beyond(d) - z, -edge, edge))
    high = 1.0 if beyond(edge) > -z else float(brentq(lambda d: beyond(d) + z, -edge, edge))
    return low, high


def _score(more: int, fewer: int, n: int, difference: float) -> float:
    """Tango's score statistic: (b - c - n D) over its deviation where the difference is D."""
    b = -more - fewer + (2 * n - more + fewer) * difference
    c = -fewer * difference * (1 - difference)
    share = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    distance = more - fewer - n * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


class MeanIntervals:
    """Intervals of the means of several columns over the same prompts.

    The bootstrap draws once for all columns, so that they share their draws.

    Args:
        values: float64 [n, k].
        seed: of the draws.
        draws: how often the prompts are drawn again.
    """

    def __init__(self, values: Numbers, seed: int, draws: int = N_DRAWS) -> None:
        self._n, self._k = values.shape
        self._means = values.mean(axis=0)
        self._errors = values.std(axis=0, ddof=1) / math.sqrt(self._n)
        self._t = _studentised(values - self._means, seed, draws)

    def at(self, column: int, level: float) -> tuple[float, float]:
        """The interval of one column; both ends its mean where all of its values are the same."""
        mean, error = float(self._means[column]), float(self._errors[column])
        tails = (0.5 - level / 2, 0.5 + level / 2)
        student = float(special.stdtrit(self._n - 1, tails[1]))
        t = self._t[:, column]
        t = t[np.isfinite(t)]
        low, high = (-student, student)
        if len(t):
            below, above = np.quantile(t, tails, method="nearest").tolist()
            low, high = min(low, -above), max(high, -below)
        return mean + low * error, mean + high * error


def _studentised(centred: Numbers, seed: int, draws: int) -> Numbers:
    """t* of each draw, [draws, k]; NaN where a draw has no spread.

    Args:
        centred: values less their means, [n, k].
        seed: of the draws.
        draws: how many.
    """
    n, k = centred.shape
    rng = np.random.default_rng(seed)
    both = np.concatenate([centred, centred**2], axis=1)
    smallest = 1e-12 * np.maximum(centred.std(axis=0), 1e-300)
    t = np.full((draws, k), np.nan)
    at_once = max(1, _VALUES_AT_ONCE // n)
    for begin in range(0, draws, at_once):
        rows = min(at_once, draws - begin)
        drawn = rng.integers(n, size=(rows, n))
        drawn += (np.arange(rows) * n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        sums = counts.astype(np.float64) @ both / n
        means = sums[:, :k]
        spread = np.sqrt(np.maximum(sums[:, k:] - means**2, 0.0))
        np.divide(
            means * math.sqrt(n - 1), spread, out=t[begin : begin + rows], where=spread > smallest
        )
    return t


def at_most(n: int, level: float) -> float:
    """The largest share that is still likely of what never happened on n prompts.

    (1 - share)^n = 1 - level, the exact one-sided bound of Clopper and Pearson (1934).
    """
    return float(-np.expm1(math.log1p(-level) / n))
