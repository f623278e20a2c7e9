"""Whether one group of figures lies above another: a rank test, and an interval of the difference.

The test is Mann and Whitney's (1947). U counts, over all pairs of one figure of each group, those
in which the first is larger, ties as half. Ties among ratings are the rule, so the distribution of
U is that over all ways to divide these very figures: exact for few, else normal with the variance
that ties leave and a correction for continuity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_EXACT = 60  # figures in both groups
N_DRAWS = 10_000
_SAME = 9  # decimals: means of the same ratings in another order are the same


@dataclass(frozen=True)
class GroupDifference:
    """Two groups of figures, compared.

    Attributes:
        first: figures in the first group.
        second: in the second.
        difference: mean of the first less that of the second; NaN where a group is empty.
        low: lower end of its 95 % interval; NaN where a group has fewer than two.
        high: upper end.
        u: Mann and Whitney's U of the first group.
        superiority: U as a share of all pairs: the chance that one of the first is larger.
        p: how likely so unequal a division is by chance, two-sided; NaN where a group is empty.
        exact: whether p is exact.
    """

    first: int
    second: int
    difference: float
    low: float
    high: float
    u: float
    superiority: float
    p: float
    exact: bool


def difference(
    first: ArrayLike, second: ArrayLike, seed: int, draws: int = N_DRAWS
) -> GroupDifference:
    """Compare two groups.

    The interval is the bootstrap's percentile interval, each group drawn again by itself.

    Args:
        first: figures, float [n].
        second: figures, float [m].
        seed: of the bootstrap.
        draws: how often the groups are drawn again.
    """
    x, y = (np.round(np.asarray(group, np.float64), _SAME) for group in (first, second))
    n, m = len(x), len(y)
    if not (n and m):
        nan = math.nan
        return GroupDifference(n, m, nan, nan, nan, nan, nan, nan, exact=False)
    low, high = math.nan, math.nan
    if min(n, m) >= 2:
        rng = np.random.default_rng(seed)
        means = [
            group[rng.integers(len(group), size=(draws, len(group)))].mean(1) for group in (x, y)
        ]
        low, high = np.quantile(means[0] - means[1], (0.025, 0.975)).tolist()
    ranks = _doubled_ranks(np.concatenate([x, y]))
    u = float(ranks[:n].sum()) / 2 - n * (n + 1) / 2
    exact = n + m <= MOST_EXACT
    p = _exact_p(ranks, n) if exact else _normal_p(ranks, n, u)
    return GroupDifference(n, m, float(x.mean() - y.mean()), low, high, u, u / (n * m), p, exact)


def _doubled_ranks(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Twice each value's rank from 1, equal values sharing the mean of theirs: whole numbers."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    doubled: NDArray[np.int64] = (2 * last - counts + 1)[codes]
    return doubled


def _exact_p(ranks: NDArray[np.int64], n: int) -> float:
    """Twice the smaller tail of the rank sum over all choices of n of the ranks."""
    chosen = int(ranks[:n].sum())
    ways = np.zeros((n + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1.0
    for rank in ranks.tolist():
        # A choice of k either leaves this rank out, or adds it to a choice of k - 1.
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    of_size = ways[n]
    smaller, larger = of_size[: chosen + 1].sum(), of_size[chosen:].sum()
    return min(1.0, 2.0 * float(min(smaller, larger) / of_size.sum()))


def _normal_p(ranks: NDArray[np.int64], n: int, u: float) -> float:
    total = len(ranks)
    m = total - n
    _, ties = np.unique(ranks, return_counts=True)
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / (total * (total - 1))
    variance = n * m / 12.0 * (total + 1 - tied)
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2.0))
