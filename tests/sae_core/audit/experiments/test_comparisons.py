"""Intervals, tests and their correction, beside plain formulas and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sae_core.audit.experiments.chance import flipped, holm, mcnemar
from sae_core.audit.experiments.comparisons import (
    Against,
    Constant,
    OutcomeValues,
    compare_arms,
)
from sae_core.audit.experiments.intervals import MeanIntervals, at_most, tango
from sae_core.errors import ExperimentError


@pytest.mark.parametrize(("b", "c", "n"), [(9, 2, 40), (0, 0, 30), (12, 0, 12), (0, 5, 20)])
def test_tango_inverts_the_score_test(b: int, c: int, n: int) -> None:
    """Against the likelihood of the table, maximised on a fine grid at each difference."""
    grid = np.linspace(0, 1, 200_001)

    def squared(difference: float) -> float:
        p_b, p_c = grid + difference, grid
        fits = (p_b >= 0) & (p_b <= 1) & (p_b + p_c <= 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = (
                np.where(b > 0, b * np.log(p_b), 0)
                + np.where(c > 0, c * np.log(p_c), 0)
                + np.where(n - b - c > 0, (n - b - c) * np.log(1 - p_b - p_c), 0)
            )
        best = grid[np.nanargmax(np.where(fits, likelihood, -np.inf))]
        variance = n * (2 * best + difference - difference**2)
        return float((b - c - n * difference) ** 2 / variance)

    low, high = tango(b, c, n, 0.95)
    for end in (low, high):
        if abs(end) < 1:
            assert squared(end) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=2e-3)
    assert low <= (b - c) / n <= high
    wide = tango(b, c, n, 0.999)
    assert wide[0] <= low < high <= wide[1]


def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    values = np.stack([rng.exponential(1, 40), rng.normal(0, 1, 40)], axis=1)
    n, draws = len(values), 2_000
    intervals = MeanIntervals(values, 7, draws)
    rng = np.random.default_rng(7)
    drawn = rng.integers(n, size=(draws, n))
    for column in (0, 1):
        x = values[:, column]
        t = []
        for again in drawn:
            y = x[again]
            t.append((y.mean() - x.mean()) / (y.std(ddof=1) / math.sqrt(n)))
        error = x.std(ddof=1) / math.sqrt(n)
        below, above = np.quantile(t, (0.025, 0.975), method="nearest")
        student = stats.t.ppf(0.975, n - 1)
        expected = (
            x.mean() - max(above, student) * error,
            x.mean() - min(below, -student) * error,
        )
        assert intervals.at(column, 0.95) == pytest.approx(expected, rel=1e-9)
    assert MeanIntervals(np.full((30, 1), 0.5), 0).at(0, 0.95) == (0.5, 0.5)


def test_flips_are_all_signs() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.5, 1, 11), np.zeros(9)])
    signs = np.array(list(itertools.product([-1, 1], repeat=11)))
    exact = (np.abs(signs @ values[:11]) >= abs(values.sum()) - 1e-12).mean()
    (p,) = flipped(values[:, None], 1, 40_000)
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact / 40_000))
    assert flipped(np.zeros((30, 2)), 0).tolist() == [1.0, 1.0]
    table = np.array([1.0] * 9 + [-1.0] * 2 + [0.0] * 20)
    (p,) = flipped(table[:, None], 1, 40_000)
    exact = mcnemar(9, 2)
    assert exact == pytest.approx(stats.binomtest(9, 11).pvalue)
    assert p == pytest.approx(exact, abs=4 * math.sqrt(exact / 40_000))
    assert mcnemar(0, 0) == 1.0


def test_holm_step_by_step() -> None:
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.9])
    assert holm(p).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])


def test_what_never_happens_has_a_bound() -> None:
    assert at_most(100, 0.95) == pytest.approx(1 - 0.05 ** (1 / 100))
    assert stats.binom.pmf(0, 100, at_most(100, 0.95)) == pytest.approx(0.05)


def test_arms_are_compared() -> None:
    rng = np.random.default_rng(5)
    n = 60
    happens = np.stack(
        [np.zeros(n), np.arange(n) % 3 == 0, np.zeros(n), np.zeros(n)], axis=1
    ).astype(float)
    length = rng.normal(10, 2, (n, 4))
    length[:, 1] += 5
    length[7, 2] = np.nan
    made = compare_arms(
        [OutcomeValues("says so", happens, happens=True), OutcomeValues("length", length, False)],
        ["unsteered", "steered", "random 1", "random 2"],
        {"steered": ["random 1", "random 2"]},
    )
    means = {(row.arm, row.outcome): row for row in made.means}
    assert means["unsteered", "says so"].constant is Constant.NEVER
    assert means["unsteered", "says so"].high == pytest.approx(1 - 0.05 ** (1 / n))
    steered = means["steered", "says so"]
    assert (steered.mean, steered.prompts) == (1 / 3, n)
    assert means["steered", "length"].prompts == n - 1
    known = np.delete(length, 7, axis=0)
    assert means["steered", "length"].mean == pytest.approx(known[:, 1].mean())

    rows = {(row.arm, row.outcome, row.against): row for row in made.differences}
    assert len(rows) == 8
    first = rows["steered", "says so", Against.UNSTEERED]
    assert (first.difference, first.differing) == (1 / 3, 20)
    assert (first.low, first.high) == tango(20, 0, n, 0.95)
    assert first.joint_low < first.low < first.high < first.joint_high
    assert (first.joint_low, first.joint_high) == tango(20, 0, n, 1 - 0.05 / 8)
    assert first.p == pytest.approx(2 * 0.5**20)
    assert first.corrected == pytest.approx(8 * first.p)
    never = rows["random 1", "says so", Against.UNSTEERED]
    assert never.p == 1
    assert math.isnan(never.low)
    assert math.isnan(never.effect)
    control = rows["steered", "length", Against.CONTROL]
    apart = known[:, 1] - known[:, 2:].mean(axis=1)
    assert control.difference == pytest.approx(apart.mean())
    spread = math.sqrt((known[:, 1].var(ddof=1) + known[:, 2:].mean(axis=1).var(ddof=1)) / 2)
    assert control.effect == pytest.approx(apart.mean() / spread)
    assert control.corrected < 0.01
    assert rows["random 2", "length", Against.UNSTEERED].corrected > 0.05


def test_too_few_prompts_are_refused() -> None:
    values = OutcomeValues("x", np.zeros((29, 2)), happens=True)
    with pytest.raises(ExperimentError, match="at least 30"):
        compare_arms([values], ["unsteered", "b"], {})
