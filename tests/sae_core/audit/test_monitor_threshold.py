"""Thresholds for a wanted rate: brute force, ties, silent features, and what is promised."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from sae_core.audit.monitors.labelled import figures_of, labelled_figures
from sae_core.audit.monitors.monitor import LevelPooling, Monitor, monitor_of, weighted
from sae_core.audit.monitors.threshold import (
    FEWEST_ALARMS,
    above,
    alarm_share,
    choose_threshold,
    threshold_for,
    threshold_of,
)
from sae_core.errors import MonitorError


def _tail(n: int, k: int, p: float, upper: bool) -> float:
    """P(X >= k) or P(X <= k) of a binomial, summed term by term."""
    terms = range(k, n + 1) if upper else range(k + 1)
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in terms)


def _bisected(n: int, k: int, upper: bool) -> float:
    """The p at which the tail holds 2.5 %."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        too_small = _tail(n, k, middle, upper) < 0.025
        if too_small == upper:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@pytest.mark.parametrize(("alarms", "texts"), [(0, 30), (1, 17), (5, 100), (29, 30), (30, 30)])
def test_the_interval_is_that_of_the_binomial_s_tails(alarms: int, texts: int) -> None:
    share = alarm_share(alarms, texts)
    low = _bisected(texts, alarms, upper=True) if alarms else 0.0
    high = _bisected(texts, alarms, upper=False) if alarms < texts else 1.0
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert share.share == alarms / texts


def test_without_texts_nothing_is_known() -> None:
    share = alarm_share(0, 0)
    assert math.isnan(share.share)
    assert (share.low, share.high) == (0.0, 1.0)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.3])
def test_the_threshold_lies_at_the_kth_largest(rate: float) -> None:
    for n in (100, 299, 999, 1000):
        levels = np.random.default_rng(n).permutation(n).astype(float) + 1
        k = int(Fraction(str(rate)) * (n + 1))
        threshold = threshold_for(levels, rate)
        assert n + 1 - k < threshold < n + 2 - k  # just above the k-th largest
        assert above(levels, threshold).alarms == k - 1


def test_texts_as_large_as_the_threshold_raise_no_alarm() -> None:
    levels = np.repeat([1.0, 2.0, 3.0], [60, 35, 5])
    threshold = threshold_for(levels, 0.2)  # among the twos: none of them may
    assert above(levels, threshold).alarms == 5
    assert 2 < threshold < 3
    alike = np.full(100, 4.0)
    assert above(alike, threshold_for(alike, 0.1)).alarms == 0


def test_a_feature_that_is_mostly_silent_alarms_wherever_it_fires() -> None:
    levels = np.zeros(1000)
    levels[:4] = (1e-30, 1e-6, 1.0, 2.0)
    assert threshold_for(levels, 0.01) == 0.0
    assert above(levels, 0.0).alarms == 4


def test_a_level_below_zero_is_moved_up_too() -> None:
    levels = -np.arange(1.0, 101.0)
    threshold = threshold_for(levels, 0.1)
    assert -10 < threshold < -9
    tiny_gap = np.array([-1.0] * 50 + [-1.0 + 1e-12] * 50)
    assert -1.0 < threshold_for(tiny_gap, 0.6) < -1.0 + 1e-12


@pytest.mark.parametrize("rate", [0.1, 0.05, 0.0123])
@pytest.mark.parametrize("n", [99, 240])
def test_new_texts_are_above_it_as_rarely_as_was_promised(rate: float, n: int) -> None:
    """Exactly: over all ways in which one of n + 1 texts is the new one."""
    if int(rate * (n + 1)) < 1:
        return
    for levels in (
        np.random.default_rng(0).normal(size=n + 1),
        np.random.default_rng(1).integers(0, 5, n + 1).astype(float),
        np.maximum(np.random.default_rng(2).normal(size=n + 1) - 1.5, 0),
    ):
        alarms = sum(
            bool(levels[new] > threshold_for(np.delete(levels, new), rate)) for new in range(n + 1)
        )
        assert Fraction(alarms, n + 1) <= Fraction(str(rate))


def test_halves_are_of_documents_and_figures_of_their_own_half() -> None:
    draw = np.random.default_rng(3)
    documents = draw.integers(0, 40, 600)
    levels = documents + draw.random(600)  # a document in both halves would be seen
    chosen = choose_threshold(levels, documents, 0.1, seed=5)
    assert chosen == choose_threshold(levels, documents, 0.1, seed=5)
    assert chosen != choose_threshold(levels, documents, 0.1, seed=6)
    assert chosen.chosen.texts + chosen.stated.texts == 600
    k = int(Fraction("0.1") * (chosen.chosen.texts + 1))
    assert chosen.chosen.alarms == k - 1
    total = int((levels > chosen.threshold).sum())
    assert chosen.stated.alarms == total - chosen.chosen.alarms
    assert threshold_of(chosen.as_json()) == chosen
    with pytest.raises(MonitorError, match="damaged"):
        threshold_of({**chosen.as_json(), "threshold": "x"})


def test_a_rate_that_so_few_texts_cannot_support_is_refused_with_the_numbers() -> None:
    levels, documents = np.arange(100.0), np.arange(100)
    with pytest.raises(MonitorError, match=r"1 % needs at least 500 texts in each half.*has 50"):
        choose_threshold(levels, documents, 0.01)
    with pytest.raises(MonitorError, match="ask for 10 % or more"):
        choose_threshold(levels, documents, 0.05)
    assert choose_threshold(levels, documents, 0.1).stated.texts == 50
    with pytest.raises(MonitorError, match="more text"):
        choose_threshold(levels[:4], documents[:4], 0.5)
    assert FEWEST_ALARMS == 50 * 0.1


def test_precision_recall_and_area() -> None:
    positives = np.array([*np.full(9, 2.0), 0.0])
    negatives = np.array([*np.full(15, 0.0), *np.full(5, 3.0)])
    made = labelled_figures(positives, negatives, 1.0)
    assert (made.recall.alarms, made.recall.texts) == (9, 10)
    assert (made.false.alarms, made.false.texts) == (5, 20)
    assert (made.precision.alarms, made.precision.texts) == (9, 14)
    wins = (positives[:, None] > negatives) + 0.5 * (positives[:, None] == negatives)
    assert made.area == pytest.approx(wins.mean())
    assert made.low < made.area < made.high
    assert figures_of(made.as_json()) == made
    with pytest.raises(MonitorError, match="at least 10 texts"):
        labelled_figures(positives[:9], negatives, 1.0)
    silent = labelled_figures(np.zeros(10), np.zeros(10), 0.0)
    assert math.isnan(silent.precision.share)
    assert silent.area == 0.5


def test_pooling_over_tokens() -> None:
    levels = np.array([0.5, 3.0, 1.0])
    assert [kind.of(levels) for kind in LevelPooling] == [3.0, 1.5, 1.0]
    assert all(math.isnan(kind.of(levels[:0])) for kind in LevelPooling)


def test_what_a_monitor_is() -> None:
    made = Monitor(((3, 0.5), (7, -1.0)), pooling=LevelPooling.LAST)
    assert monitor_of(made.as_json()) == made
    probe = Monitor(direction=(0.5, 2.0), offset=-1.0, pooling=LevelPooling.MEAN)
    assert monitor_of(probe.as_json()) == probe
    for wrong in (
        {},
        {"members": ((1, 1.0),), "direction": (1.0,)},
        {"members": ((1, math.inf),)},
        {"members": ((1, 1.0), (1, 2.0))},
    ):
        with pytest.raises(MonitorError):
            Monitor(**wrong)
    with pytest.raises(MonitorError, match="damaged"):
        monitor_of({"members": 3})


def test_features_together_are_weighted_as_traits_are() -> None:
    assert weighted({3: 4.0, 5: 2.0, 6: 0.0}).members == ((3, 1 / 8), (5, 1 / 4))
    assert weighted({3: 4.0, 5: 2.0}, {3: 3.0, 5: -1.0}).members == ((3, 0.1875), (5, -0.125))
    with pytest.raises(MonitorError, match="ever fires"):
        weighted({6: 0.0})
