"""The rank test is brute force's and SciPy's; the interval is of the difference of means."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from sae_core.evaluation.two_samples import difference


def _by_brute_force(x: list[float], y: list[float]) -> float:
    """Twice the smaller tail of U over all divisions of the figures."""
    both = x + y

    def u(chosen: set[int]) -> float:
        inside = [both[i] for i in chosen]
        outside = [both[i] for i in range(len(both)) if i not in chosen]
        return sum((a > b) + 0.5 * (a == b) for a in inside for b in outside)

    seen = u(set(range(len(x))))
    all_of_them = [u(set(chosen)) for chosen in combinations(range(len(both)), len(x))]
    tails = sum(v <= seen for v in all_of_them), sum(v >= seen for v in all_of_them)
    return min(1.0, 2 * min(tails) / len(all_of_them))


def test_few_ratings_with_ties_are_tested_exactly() -> None:
    rng = np.random.default_rng(1)
    for _ in range(6):
        x, y = rng.integers(0, 4, 4).tolist(), rng.integers(1, 5, 5).tolist()
        compared = difference(x, y, seed=0, draws=10)
        assert compared.exact
        assert compared.p == pytest.approx(_by_brute_force(x, y), abs=1e-12)


def test_without_ties_it_is_scipys_exact_test() -> None:
    x, y = np.arange(0.0, 10.0), np.arange(2.5, 20.5)
    theirs = stats.mannwhitneyu(x, y, method="exact")
    compared = difference(x, y, seed=0, draws=10)
    assert compared.u == theirs.statistic
    assert compared.p == pytest.approx(theirs.pvalue, rel=1e-9)


def test_many_ratings_with_ties_are_tested_as_scipy_does() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 15, 70), rng.integers(0, 13, 90)
    theirs = stats.mannwhitneyu(x, y, method="asymptotic")
    compared = difference(x, y, seed=0, draws=10)
    assert not compared.exact
    assert compared.u == theirs.statistic
    assert compared.p == pytest.approx(theirs.pvalue, rel=1e-12)
    assert compared.superiority == theirs.statistic / (70 * 90)


def test_the_interval_is_that_of_scipys_bootstrap_and_repeats() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(4, 15, 60), rng.integers(0, 11, 50)
    compared = difference(x, y, seed=7)
    theirs = stats.bootstrap(
        (x, y),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert compared.difference == pytest.approx(x.mean() - y.mean())
    assert (compared.low, compared.high) == pytest.approx((theirs.low, theirs.high), abs=0.06)
    assert compared == difference(x, y, seed=7)


def test_means_of_the_same_ratings_in_another_order_are_tied() -> None:
    compared = difference([(1 + 2 + 2) / 3, 0.1 + 0.2], [(2 + 2 + 1) / 3, 0.3], seed=0, draws=10)
    assert (compared.u, compared.p) == (2.0, 1.0)


def test_groups_too_small_or_all_alike() -> None:
    nothing = difference([], [1.0], seed=0)
    assert (nothing.first, math.isnan(nothing.p), math.isnan(nothing.difference)) == (0, True, True)
    single = difference([3.0], [1.0], seed=0)
    assert (single.difference, single.superiority, single.p) == (2.0, 1.0, 1.0)
    assert math.isnan(single.low)
    alike = difference([2.0] * 50, [2.0] * 50, seed=0, draws=10)
    assert (alike.difference, alike.low, alike.high, alike.p) == (0.0, 0.0, 0.0, 1.0)
