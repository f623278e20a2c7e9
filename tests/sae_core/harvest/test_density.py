"""The interval of a density against figures worked out elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from sae_core.harvest.density import DocumentTokens, wilson_interval


def test_wilson_interval() -> None:
    low, high = wilson_interval(10, 100)
    assert low == pytest.approx(0.05522914, abs=1e-7)
    assert high == pytest.approx(0.17436566, abs=1e-7)
    assert wilson_interval(0, 100)[0] == 0
    assert wilson_interval(0, 100)[1] == pytest.approx(0.0369935, abs=1e-6)
    assert wilson_interval(100, 100)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)


def by_hand(tokens: list[int], firings: list[int]) -> tuple[float, float]:
    """The same from every document's residual, in plain float64."""
    f, n = np.array(firings, dtype=np.float64), np.array(tokens, dtype=np.float64)
    share = f.sum() / n.sum()
    residuals = f - share * n
    variance = len(n) / (len(n) - 1) * (residuals**2).sum() / n.sum() ** 2
    worth = min(n.sum(), share * (1 - share) / variance)
    freedom = np.clip((residuals**2).sum() ** 2 / (residuals**4).sum(), 1, len(n) - 1)
    return wilson_interval(share * worth, worth, float(student.ppf(0.975, freedom)))


@pytest.mark.parametrize(
    "firings",
    [[1, 0, 0, 0, 0, 0], [3, 2, 5, 1, 4, 3], [0, 90, 0, 0, 0, 0], [10, 20, 30, 40, 50, 59]],
    ids=["once", "everywhere", "in one document", "growing"],
)
def test_the_interval_over_documents_is_that_of_all_residuals(firings: list[int]) -> None:
    tokens = [100, 120, 80, 300, 64, 100]
    where = np.flatnonzero(firings)
    interval = DocumentTokens(np.array(tokens)).density_interval(where, np.array(firings)[where])
    assert interval == pytest.approx(by_hand(tokens, firings), rel=1e-9)
    assert interval is not None
    assert interval[0] < sum(firings) / sum(tokens) < interval[1]


def test_what_crowds_in_one_document_is_known_less_well() -> None:
    tokens = DocumentTokens(np.full(50, 1000))
    spread = tokens.density_interval(np.arange(50), np.full(50, 10))
    crowded = tokens.density_interval(np.array([7]), np.array([500]))
    assert spread is not None
    assert crowded is not None
    assert crowded[1] - crowded[0] > 5 * (spread[1] - spread[0])


def test_a_feature_that_always_fires_has_an_interval() -> None:
    tokens = np.array([10, 20, 30])
    assert DocumentTokens(tokens).density_interval(np.arange(3), tokens) == (
        pytest.approx(wilson_interval(60, 60, float(student.ppf(0.975, 2)))[0]),
        1.0,
    )


@pytest.mark.parametrize(("tokens", "documents"), [([100], [0]), ([100, 100], [])])
def test_one_document_or_no_firing_gives_no_interval(
    tokens: list[int], documents: list[int]
) -> None:
    firings = np.ones(len(documents), dtype=np.int64)
    places = np.array(documents, dtype=np.int64)
    assert DocumentTokens(np.array(tokens)).density_interval(places, firings) is None


@pytest.mark.parametrize("n_documents", [5, 10, 40])
def test_intervals_hold_the_truth_of_features_that_come_in_bursts(n_documents: int) -> None:
    """Documents of very different lengths, each with its own rate: 2,000 texts, seeded."""
    rng = np.random.default_rng(n_documents)
    held = held_by_wilson = 0
    for _ in range(2000):
        tokens = rng.lognormal(6, 0.7, n_documents).astype(np.int64) + 10
        firings = rng.poisson(tokens * 0.02 * rng.gamma(0.5, 2.0, n_documents))
        where = np.flatnonzero(firings)
        interval = DocumentTokens(tokens).density_interval(where, firings[where])
        if interval is not None:
            held += interval[0] <= 0.02 <= interval[1]
            low, high = wilson_interval(int(firings.sum()), int(tokens.sum()))
            held_by_wilson += low <= 0.02 <= high
    assert held / 2000 > 0.9
    assert held_by_wilson / 2000 < 0.5
