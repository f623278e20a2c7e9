"""Rank statistics of two groups: areas, their tests and intervals, false discoveries.

The area under the ROC curve is the probability that one of the first group is larger than one of
the second, ties counted half: Mann and Whitney's U (1947) as a share of all pairs. Variances and
covariances of areas over the same cases after DeLong, DeLong and Clarke-Pearson (1988); false
discoveries after Benjamini and Hochberg (1995).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

MOST_EXACT = 40  # cases
_Z = 1.959963984540054

Numbers = NDArray[np.float64]


def auroc(values: NDArray[np.float64], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Area under the ROC curve of each column, ties counted half.

    Args:
        values: float64 [n, k].
        wanted: which rows should have the larger values, bool [n]; some do, and some do not.
    """
    n_on = int(wanted.sum())
    sums = midranks(values)[wanted].sum(axis=0)
    areas: NDArray[np.float64] = (sums - n_on * (n_on + 1) / 2) / (n_on * (len(wanted) - n_on))
    return areas


def mann_whitney(values: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float:
    """The probability, dealt out at random, of rank sums at least as large as the wanted rows'.

    Args:
        values: float64 [n].
        wanted: bool [n].
    """
    ranks = midranks(values[:, None])[:, 0]
    n, n_on, total = len(ranks), int(wanted.sum()), float(ranks[wanted].sum())
    if n <= MOST_EXACT:
        doubled = tuple(np.sort(np.rint(2 * ranks)).astype(int).tolist())
        tail = _exact(doubled, n_on)
        return float(tail[round(2 * total)])
    mean = n_on * (n + 1) / 2
    variance = n_on * (n - n_on) / (n * (n - 1)) * float(((ranks - ranks.mean()) ** 2).sum())
    if variance == 0:
        return 1.0
    return 0.5 * math.erfc((total - mean - 0.5) / math.sqrt(2 * variance))


@lru_cache(maxsize=256)
def _exact(doubled: tuple[int, ...], n_on: int) -> NDArray[np.float64]:
    """P(sum of twice the ranks >= s) for each s, over all choices of `n_on` of them."""
    ways = np.zeros((n_on + 1, sum(doubled) + 1))
    ways[0, 0] = 1
    for rank in doubled:
        for chosen in range(n_on, 0, -1):
            ways[chosen, rank:] += ways[chosen - 1, : ways.shape[1] - rank]
    tail: NDArray[np.float64] = np.cumsum(ways[n_on][::-1])[::-1] / ways[n_on].sum()
    return tail


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest false discovery rate at which each is found, float64 [n]."""
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * n / np.arange(1, n + 1)
    corrected = np.empty(n)
    corrected[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return corrected


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1 in each column, equal values sharing the mean of theirs, float64 [n, k]."""
    ranks: NDArray[np.float64] = rankdata(values, axis=0)
    return ranks


def screened(values: Numbers, wanted: NDArray[np.bool_]) -> Numbers:
    """Two-sided p-values of each column by the normal approximation, float64 [k].

    Args:
        values: float64 [n, k].
        wanted: bool [n].
    """
    ranks = midranks(values)
    n, n_on = len(wanted), int(wanted.sum())
    totals = ranks[wanted].sum(axis=0)
    mean = n_on * (n + 1) / 2
    variance = n_on * (n - n_on) / (n * (n - 1)) * ((ranks - (n + 1) / 2) ** 2).sum(axis=0)
    apart = np.maximum(np.abs(totals - mean) - 0.5, 0.0)
    z = np.divide(apart, np.sqrt(variance), out=np.zeros_like(apart), where=variance > 0)
    return np.array([math.erfc(x / math.sqrt(2)) for x in z])


def delong(scores: Numbers, wanted: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Areas of several scores over the same cases, and the covariance of these areas.

    Args:
        scores: float64 [n, k].
        wanted: which cases should score more, bool [n]; at least two do, and two do not.

    Returns:
        Areas [k] and their covariance [k, k].
    """
    n_on, n_off = int(wanted.sum()), int((~wanted).sum())
    every = midranks(scores)
    on = (every[wanted] - midranks(scores[wanted])) / n_off
    off = 1 - (every[~wanted] - midranks(scores[~wanted])) / n_on
    areas = on.mean(axis=0)
    spread = np.atleast_2d(np.cov(on, rowvar=False)) / n_on
    spread = spread + np.atleast_2d(np.cov(off, rowvar=False)) / n_off
    return areas, spread


def area_interval(area: float, variance: float, n: int) -> tuple[float, float]:
    """The 95 % interval of an area, on the logit scale.

    Args:
        area: between 0 and 1.
        variance: as `delong` gives it.
        n: cases of the smaller group: where all pairs are in order the variance is 0, and the
            interval's end is what so many cases, all of them in order, leave possible.
    """
    if not 0 < area < 1 or variance <= 0:
        reach = 0.025 ** (1 / n)
        return (reach, 1.0) if area >= 0.5 else (0.0, 1 - reach)
    centre = math.log(area / (1 - area))
    half = _Z * math.sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1))
    return low, high
