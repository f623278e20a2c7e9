"""How likely paired differences so large are where an arm changes nothing: tests over prompts.

If an arm changes nothing, the two texts of a prompt could as well be swapped: the sign of each
difference is a coin. The p-value is the share of all ways to toss the coins that give a mean at
least as far from 0 (Fisher 1935). Where all differences are -1, 0 or 1 that share is a binomial
tail, and the test McNemar's exact one; else the coins are tossed `N_FLIPS` times, and the observed
toss counts as one of them, so that chance alone gives p <= a in at most a share a of all cases.
Several p-values are corrected after Holm (1979).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

N_FLIPS = 20_000
_VALUES_AT_ONCE = 4_000_000
_ROUNDING = 1e-12

Numbers = NDArray[np.float64]


def flipped(differences: Numbers, seed: int, flips: int = N_FLIPS) -> Numbers:
    """Two-sided p-values of the means of columns [n, k], float64 [k]; 1 where none differs.

    Args:
        differences: paired, one row a prompt.
        seed: of the tosses.
        flips: how many.
    """
    different = differences[(differences != 0).any(axis=1)]
    n, k = different.shape
    if n == 0:
        return np.ones(k)
    observed = np.abs(different.sum(axis=0)) * (1 - _ROUNDING)
    rng = np.random.default_rng(seed)
    as_large = np.ones(k)
    at_once = max(1, _VALUES_AT_ONCE // n)
    for begin in range(0, flips, at_once):
        rows = min(at_once, flips - begin)
        coins = rng.integers(2, size=(rows, n), dtype=np.int8)
        sums = (2.0 * coins - 1.0) @ different
        as_large += (np.abs(sums) >= observed).sum(axis=0)
    return np.asarray(as_large / (flips + 1), dtype=np.float64)


def mcnemar(more: int, fewer: int) -> float:
    """The exact two-sided p-value of so many prompts that differ one way and the other."""
    n = more + fewer
    return min(1.0, 2.0 * float(binom.cdf(min(more, fewer), n, 0.5))) if n else 1.0


def holm(p_values: Numbers) -> Numbers:
    """The smallest chance of any false alarm among all at which each is found, float64 [n]."""
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(n, 0, -1))
    corrected = np.empty(n)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
