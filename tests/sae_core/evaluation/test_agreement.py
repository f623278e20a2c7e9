"""Krippendorff's alpha is the independent library's, and its interval holds the truth."""

from __future__ import annotations

import math

import krippendorff
import numpy as np
import pytest

from sae_core.evaluation.agreement import Metric, krippendorff_alpha

NAN = math.nan


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize(("raters", "items", "values"), [(2, 30, 15), (5, 12, 4), (3, 60, 2)])
def test_alpha_is_that_of_the_library(
    metric: Metric, missing: float, raters: int, items: int, values: int
) -> None:
    rng = np.random.default_rng([raters, items])
    truth = rng.integers(0, values, items)
    noise = rng.integers(0, values, (raters, items))
    table = np.where(rng.random((raters, items)) < 0.6, truth, noise).astype(float)
    table[rng.random((raters, items)) < missing] = NAN
    ours = krippendorff_alpha(table, metric, draws=50)
    theirs = krippendorff.alpha(reliability_data=table, level_of_measurement=str(metric))
    assert ours.alpha == pytest.approx(theirs, abs=1e-12)
    assert ours.low <= ours.alpha <= ours.high


def test_the_worked_example_of_the_literature() -> None:
    """Krippendorff 2011, section C: four observers, twelve units, missing ratings."""
    table = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
            [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
        ]
    )
    assert krippendorff_alpha(table, Metric.ORDINAL).alpha == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(table, Metric.INTERVAL).alpha == pytest.approx(0.849, abs=5e-4)
    figure = krippendorff_alpha(table, Metric.INTERVAL, seed=3)
    assert (figure.items, figure.ratings) == (11, 40)
    assert figure == krippendorff_alpha(table, Metric.INTERVAL, seed=3)


@pytest.mark.parametrize(
    ("table", "words", "items"),
    [
        (np.zeros((0, 0)), "nothing to compare", 0),
        ([[1.0, 2.0, 3.0]], "nothing to compare", 0),
        ([[1.0, NAN], [NAN, 2.0]], "nothing to compare", 0),
        ([[3.0, 3.0], [3.0, 3.0]], "All ratings are the same", 2),
    ],
)
def test_where_alpha_is_undefined_it_says_why(table: object, words: str, items: int) -> None:
    figure = krippendorff_alpha(table, Metric.ORDINAL)  # type: ignore[arg-type]
    assert math.isnan(figure.alpha)
    assert math.isnan(figure.low)
    assert words in figure.reason
    assert figure.items == items


def test_one_item_has_an_alpha_and_no_interval() -> None:
    figure = krippendorff_alpha([[0.0], [3.0]], Metric.INTERVAL)
    assert figure.alpha == 0.0
    assert math.isnan(figure.low)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Two raters who draw evenly and agree by copying with probability 0.6: alpha is 0.6."""
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(100):
        first = rng.integers(0, 15, 80)
        second = np.where(rng.random(80) < 0.6, first, rng.integers(0, 15, 80))
        figure = krippendorff_alpha([first, second], Metric.INTERVAL, seed, draws=300)
        held += figure.low <= 0.6 <= figure.high
    assert held >= 86
