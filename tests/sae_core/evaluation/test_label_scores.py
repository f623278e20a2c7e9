"""Scores of labels against brute force, and how often their intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sae_core.evaluation.label_scores import (
    auroc,
    balanced_accuracy,
    correlation,
    null_p_value,
    share,
)
from sae_core.harvest.density import wilson_interval

RNG = np.random.default_rng(7)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 10)])
def test_a_share_has_wilsons_interval(hits: int, n: int) -> None:
    score = share(hits, n)
    assert score.value == hits / n
    assert (score.low, score.high) == wilson_interval(hits, n)


def test_balanced_accuracy_is_the_mean_of_both_shares() -> None:
    actual = RNG.random(50) < 0.3
    told = RNG.random(50) < 0.5
    right_firing = np.mean([t for a, t in zip(actual, told, strict=True) if a])
    right_silent = np.mean([not t for a, t in zip(actual, told, strict=True) if not a])
    score = balanced_accuracy(actual, told)
    assert score.value == pytest.approx((right_firing + right_silent) / 2, abs=1e-15)
    assert score.low < score.value < score.high


def test_all_told_right_still_has_an_interval() -> None:
    score = balanced_accuracy([True] * 10 + [False] * 10, [True] * 10 + [False] * 10)
    assert score.value == score.high == 1.0
    assert 0.75 < score.low < 0.95


def test_one_kind_of_excerpts_alone_gives_no_score() -> None:
    assert math.isnan(balanced_accuracy([True, True], [True, False]).value)
    assert math.isnan(share(0, 0).value)
    assert math.isnan(auroc([1.0], [0.0, 1.0]).value)


def test_auroc_is_the_chance_of_the_right_order() -> None:
    firing, silent = RNG.integers(0, 6, 13) * 1.0, RNG.integers(0, 6, 9) * 1.0
    pairs = [(x > y) + 0.5 * (x == y) for x in firing for y in silent]
    assert auroc(firing, silent).value == pytest.approx(np.mean(pairs), abs=1e-15)
    both = stats.mannwhitneyu(firing, silent).statistic / (13 * 9)
    assert auroc(firing, silent).value == pytest.approx(both, abs=1e-12)


def test_auroc_of_a_perfect_order_is_no_point() -> None:
    score = auroc(np.arange(10) + 100.0, np.arange(12))
    assert score.value == score.high == 1.0
    assert 0.6 < score.low < 0.9


def test_correlation_is_pearsons_over_all_tokens() -> None:
    actual = [RNG.random(n) for n in (5, 8, 6, 7)]
    told = [a + RNG.random(len(a)) for a in actual]
    score = correlation(told, actual)
    expected = stats.pearsonr(np.concatenate(told), np.concatenate(actual)).statistic
    assert score.value == pytest.approx(expected, abs=1e-12)
    assert score.low < score.value < score.high
    assert score.n == 4
    assert math.isnan(correlation([np.zeros(4)] * 3, [np.arange(4.0)] * 3).value)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = {"balanced accuracy": 0, "auroc": 0}
    trials = 600
    for _ in range(trials):
        actual = np.arange(40) < 20
        told = np.where(actual, rng.random(40) < 0.8, rng.random(40) < 0.3)
        score = balanced_accuracy(actual, told)
        held["balanced accuracy"] += score.low <= 0.75 <= score.high
        ranked = auroc(rng.normal(1.0, 1.0, 20), rng.normal(0.0, 1.0, 20))
        truth = float(stats.norm.cdf(1.0 / math.sqrt(2)))
        held["auroc"] += ranked.low <= truth <= ranked.high
    for name, times in held.items():
        assert 0.92 <= times / trials <= 0.99, name


def test_a_null_is_above_its_null_in_one_case_of_twenty_at_most() -> None:
    rng = np.random.default_rng(1)
    trials = 4000
    above = sum(
        null_p_value(float(values[0]), values[1:].tolist()) <= 0.05
        for values in rng.integers(0, 30, (trials, 41)) / 30
    )
    assert above / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert null_p_value(0.9, [0.1] * 19) == 0.05
    assert null_p_value(0.9, [0.9] * 19) == 1.0
    assert null_p_value(0.9, []) == 1.0
    assert math.isnan(null_p_value(math.nan, [0.5]))
