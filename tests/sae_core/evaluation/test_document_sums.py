"""Sums by document and their intervals, against resampling written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sae_core.evaluation.document_sums import N_RESAMPLES, DocumentSums, expanded_tail, interval

LENGTHS = np.array([5, 40, 3, 18, 9, 25, 60, 12])


def _tokens() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    documents = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    values = draw.gamma(2.0, 1.0, len(documents)) + 0.3 * documents
    return documents, values, draw.integers(0, 4, len(documents))


def test_totals_equal_sums_over_tokens() -> None:
    documents, values, places = _tokens()
    sums = DocumentSums(len(LENGTHS), {"count": 1, "by_place": 4})
    for part in np.array_split(np.random.default_rng(0).permutation(len(values)), 3):
        sums.add("count", documents[part], 1.0)
        sums.add("by_place", documents[part], values[part], places[part])
    totals = sums.totals()
    assert float(totals["count"]) == len(values)
    assert totals["by_place"] == pytest.approx([values[places == p].sum() for p in range(4)])


def test_each_resample_is_a_draw_of_whole_documents() -> None:
    documents, values, _ = _tokens()
    sums = DocumentSums(len(LENGTHS), {"value": 1, "count": 1})
    sums.add("value", documents, values)
    sums.add("count", documents, 1.0)
    resampled = sums.resampled()
    draw = np.random.default_rng(0)
    for at in range(20):
        drawn = draw.integers(0, len(LENGTHS), len(LENGTHS))
        tokens = np.concatenate([values[documents == d] for d in drawn])
        assert resampled["count"][at] == len(tokens)
        assert resampled["value"][at] == pytest.approx(tokens.sum(), rel=1e-12)
    assert np.array_equal(resampled["value"], sums.resampled()["value"])


def test_an_interval_agrees_with_the_linearised_ratio() -> None:
    """The delta method's standard error of a ratio estimator (Cochran 1977, 6.4)."""
    draw = np.random.default_rng(1)
    n = 400
    lengths = draw.integers(20, 80, n)
    documents = np.repeat(np.arange(n), lengths)
    values = draw.normal(2.0, 1.0, len(documents)) + np.repeat(draw.normal(0, 0.5, n), lengths)
    sums = DocumentSums(n, {"value": 1, "count": 1})
    sums.add("value", documents, values)
    sums.add("count", documents, 1.0)
    resampled = sums.resampled()
    found = interval(resampled["value"] / resampled["count"], n)
    assert found is not None
    ratio = values.mean()
    totals = np.bincount(documents, values)
    error = np.sqrt(n / (n - 1) * ((totals - ratio * lengths) ** 2).sum()) / lengths.sum()
    assert found == pytest.approx((ratio - 1.96 * error, ratio + 1.96 * error), abs=0.15 * error)


def test_an_interval_needs_documents_and_values() -> None:
    values = np.linspace(0.0, 1.0, N_RESAMPLES)
    assert interval(values, 10**9) == pytest.approx((0.025, 0.975))
    assert interval(values, 4) is None
    assert interval(np.full(N_RESAMPLES, np.nan), 50) is None
    assert interval(np.where(values > 0.5, np.inf, values), 50) is None
    some = np.where(np.arange(N_RESAMPLES) % 2, np.nan, values)
    assert interval(some, 10**9) == pytest.approx((0.025, 0.975), abs=1e-3)


@pytest.mark.parametrize("n", [5, 12, 300])
def test_for_a_mean_of_normal_values_it_is_students_interval(n: int) -> None:
    """Where the bootstrap's distribution is normal with the spread that it has for a mean."""
    draws = stats.norm.ppf((np.arange(N_RESAMPLES) + 0.5) / N_RESAMPLES)
    found = interval(3.0 + draws * np.sqrt((n - 1) / n) * 2.0 / np.sqrt(n), n)
    expected = stats.t.interval(0.95, n - 1, 3.0, 2.0 / np.sqrt(n))
    assert found == pytest.approx(expected, abs=0.06)
    assert expanded_tail(n) < 0.025
