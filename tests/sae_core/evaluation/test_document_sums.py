"""Sums by document and their intervals, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sae_core.evaluation.document_sums import DocumentSums, interval

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


def test_each_document_is_left_out_in_turn() -> None:
    documents, values, places = _tokens()
    sums = DocumentSums(len(LENGTHS), {"value": 4, "count": 1})
    sums.add("value", documents, values, places)
    sums.add("count", documents, 1.0)
    left_out = sums.left_out()
    for d in range(len(LENGTHS)):
        others = documents != d
        assert left_out["count"][d] == others.sum()
        expected = [values[others & (places == p)].sum() for p in range(4)]
        assert left_out["value"][d] == pytest.approx(expected)


def _interval(values: np.ndarray, counts: np.ndarray) -> tuple[float, float] | None:
    """Of the quotient of two sums over documents."""
    documents = np.arange(len(values))
    sums = DocumentSums(len(values), {"value": 1, "count": 1})
    sums.add("value", documents, values)
    sums.add("count", documents, counts)
    left_out = sums.left_out()
    return interval(float(values.sum() / counts.sum()), left_out["value"] / left_out["count"])


@pytest.mark.parametrize("n", [5, 12, 300])
def test_an_interval_is_the_jackknife_s(n: int) -> None:
    """Written out: each document left out, its variance, Satterthwaite's degrees of freedom."""
    draw = np.random.default_rng(n)
    counts = draw.integers(20, 80, n).astype(float)
    values = counts * draw.normal(2.0, 0.5, n)
    ratio = values.sum() / counts.sum()
    changes = np.array(
        [np.delete(values, d).sum() / np.delete(counts, d).sum() - ratio for d in range(n)]
    )
    error = np.sqrt((n - 1) / n * (changes**2).sum())
    freedom = min(n - 1, (changes**2).sum() ** 2 / (changes**4).sum())
    reach = stats.t.ppf(0.975, freedom) * error
    assert _interval(values, counts) == pytest.approx((ratio - reach, ratio + reach), rel=1e-9)


def test_of_a_mean_of_two_kinds_of_documents_it_is_students_interval() -> None:
    """Equal squares have as many degrees of freedom as there are documents, at most n - 1."""
    values = np.array([1.0, 3.0] * 10)
    expected = stats.t.interval(0.95, 19, 2.0, values.std(ddof=1) / np.sqrt(20))
    assert _interval(values, np.ones(20)) == pytest.approx(expected, rel=1e-9)


def test_one_document_that_holds_most_of_the_change_has_one_degree_of_freedom() -> None:
    values = np.array([1000.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    found = _interval(values, np.ones(6))
    assert found is not None
    residuals = values - values.mean()
    freedom = (residuals**2).sum() ** 2 / (residuals**4).sum()
    assert 1.0 < freedom < 1.5
    reach = stats.t.ppf(0.975, freedom) * values.std(ddof=1) / np.sqrt(6)
    assert found[1] - values.mean() == pytest.approx(reach, rel=1e-9)


def test_an_interval_needs_documents_and_values() -> None:
    assert _interval(np.ones(4), np.arange(1.0, 5.0)) is None
    assert interval(np.inf, np.ones(9)) is None
    assert interval(1.0, np.array([1.0, 2.0, 1.0, np.nan, 1.0, 1.5])) is None


def test_an_end_stops_where_the_figure_does() -> None:
    left_out = 1.0 + np.array([0.9, -0.2, -0.3, -0.4, 0.1, -0.1])
    free, bounded = interval(1.0, left_out), interval(1.0, left_out, least=0.0)
    assert free is not None
    assert free[0] < 0.0
    assert bounded == (0.0, free[1])


def test_a_figure_that_no_document_moves_is_known() -> None:
    assert interval(16.0, np.full(8, 16.0)) == (16.0, 16.0)
