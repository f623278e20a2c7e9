"""How far raters agree: Krippendorff's alpha, with an interval by bootstrap.

alpha = 1 - D_o / D_e: the disagreement of two ratings of one item, beside that of two ratings drawn
from all. 1 is perfect agreement, 0 what chance gives; below 0 raters differ more than by chance.

1. Each item with m >= 2 ratings adds to a table of coincidences o[c, k]: for each ordered pair of
   its ratings 1 / (m - 1). Items with fewer ratings cannot be compared and count nowhere.
2. n_c are the table's row sums, n their sum. With a distance d[c, k] between values,
   alpha = 1 - (n - 1) * sum(o * d) / sum(n_c * n_k * d).
3. Interval distance: (c - k)^2. Ordinal: (sum of n_g from c to k, less half of n_c and n_k)^2, so
   that only the order of the values counts.

See Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

N_DRAWS = 2000
FEWEST_ITEMS = 2  # below which resampling items says nothing


class Metric(StrEnum):
    """How far two values of a scale lie apart."""

    ORDINAL = "ordinal"
    INTERVAL = "interval"


@dataclass(frozen=True)
class AgreementFigure:
    """Krippendorff's alpha.

    Attributes:
        alpha: NaN where it is undefined; `reason` says why.
        low: lower end of its 95 % interval, over items; NaN where there is none.
        high: upper end.
        items: with at least two ratings; others are not counted.
        ratings: of those items.
        reason: a sentence, where alpha is undefined; else empty.
    """

    alpha: float
    low: float
    high: float
    items: int
    ratings: int
    reason: str = ""


def krippendorff_alpha(
    ratings: ArrayLike, metric: Metric, seed: int = 0, draws: int = N_DRAWS
) -> AgreementFigure:
    """Alpha of ratings on a scale of numbers, with missing values.

    The interval is the bootstrap's percentile interval: items are drawn again, raters stay. Draws
    in which alpha is undefined are left out; where these are more than half, there is no interval.

    Args:
        ratings: by rater and item, NaN where a rater did not rate an item, float [raters, items].
        metric: the distance of values.
        seed: of the bootstrap.
        draws: how often items are drawn again.
    """
    table = np.asarray(ratings, np.float64)
    if table.ndim != 2:
        raise ValueError("ratings have the shape [raters, items]")
    values, counts = _counts(table)
    if not len(counts):
        reason = "No item has ratings of two raters, so that there is nothing to compare."
        return AgreementFigure(math.nan, math.nan, math.nan, 0, 0, reason)
    n_items, n_ratings = len(counts), int(counts.sum())
    coincidences = _coincidences(counts)
    alpha = float(_alphas(coincidences.sum(0)[None], values, metric)[0])
    if math.isnan(alpha):
        reason = (
            "All ratings are the same, so that there is no disagreement by chance to compare with: "
            "alpha is undefined, although everybody agrees."
        )
        return AgreementFigure(math.nan, math.nan, math.nan, n_items, n_ratings, reason)
    low, high = math.nan, math.nan
    if n_items >= FEWEST_ITEMS and draws:
        low, high = _interval(coincidences, values, metric, seed, draws)
    return AgreementFigure(alpha, low, high, n_items, n_ratings)


def _counts(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values that occur [V], and how often each item with two ratings got each [items, V]."""
    comparable = np.isfinite(table).sum(0) >= 2
    kept = table[:, comparable]
    there = np.isfinite(kept)
    values, codes = np.unique(kept[there], return_inverse=True)
    counts = np.zeros((kept.shape[1], len(values)))
    np.add.at(counts, (np.nonzero(there)[1], codes), 1.0)
    return values, counts


def _coincidences(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each item adds to the table of coincidences, [items, V, V]."""
    pairs = counts[:, :, None] * counts[:, None, :]
    own = np.arange(counts.shape[1])
    pairs[:, own, own] -= counts
    paired: NDArray[np.float64] = pairs / (counts.sum(1) - 1.0)[:, None, None]
    return paired


def _alphas(
    tables: NDArray[np.float64], values: NDArray[np.float64], metric: Metric
) -> NDArray[np.float64]:
    """Alpha of each table of coincidences [n, V, V]; NaN where all values are the same."""
    margins = tables.sum(2)
    total = margins.sum(1)
    if metric is Metric.INTERVAL:
        distances = np.square(values[:, None] - values)[None]
    else:
        upto = margins.cumsum(1) - margins / 2
        distances = np.square(upto[:, :, None] - upto[:, None, :])
    observed = (tables * distances).sum((1, 2))
    expected = (margins[:, :, None] * margins[:, None, :] * distances).sum((1, 2))
    out = np.full(len(tables), np.nan)
    varied = expected > 0
    out[varied] = 1.0 - (total[varied] - 1.0) * observed[varied] / expected[varied]
    return out


def _interval(
    coincidences: NDArray[np.float64],
    values: NDArray[np.float64],
    metric: Metric,
    seed: int,
    draws: int,
) -> tuple[float, float]:
    n, v = coincidences.shape[:2]
    tables = (_times(n, seed, draws) @ coincidences.reshape(n, v * v)).reshape(draws, v, v)
    alphas = _alphas(tables, values, metric)
    defined = alphas[np.isfinite(alphas)]
    if 2 * len(defined) < draws:
        return math.nan, math.nan
    low, high = np.quantile(defined, (0.025, 0.975)).tolist()
    return low, high


@lru_cache(maxsize=2)  # the criteria of one study have the same items
def _times(n: int, seed: int, draws: int) -> NDArray[np.float64]:
    """How often each of n items comes in each draw, [draws, n]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1.0 / n), draws).astype(np.float64)
