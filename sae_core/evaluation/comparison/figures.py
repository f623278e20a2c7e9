"""What is said of two compared dictionaries: shares with intervals, distributions, medians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.evaluation.comparison.matches import Matches
from sae_core.harvest.density import wilson_interval

NULL_QUANTILE = 0.99
"""Of 100 features that are matched with the null, one lies above the threshold."""
N_BUCKETS = 50


@dataclass(frozen=True)
class FoundShare:
    """A share of features with its 95 % interval.

    Attributes:
        share: 0 to 1; 0 without features.
        low: lower end.
        high: upper end.
        n: features that it is a share of.
    """

    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class MatchFigures:
    """How well the features of one dictionary are found again in another, by one measure.

    Attributes:
        found: share of features whose match is at least `bar` and above the null's threshold.
        null_found: the same share of a second null.
        above_null: share whose match is above the null's threshold.
        null_above: the same share of a second null: what chance alone gives.
        threshold: the 99 % quantile of the best matches with the first null.
        bar: from which value on a feature counts as found again; at least the threshold.
        median: of the best matches; nan without any.
        null_median: of those with the null.
        counts: best matches in `N_BUCKETS` equal buckets from `low` to 1.
        null_counts: those with the null, likewise.
        low: where the first bucket begins: 0, or -1 where a value is negative.
    """

    found: FoundShare
    null_found: FoundShare
    above_null: FoundShare
    null_above: FoundShare
    threshold: float
    bar: float
    median: float
    null_median: float
    counts: tuple[int, ...]
    null_counts: tuple[int, ...]
    low: float


@dataclass(frozen=True)
class DirectedComparison:
    """What of the first dictionary's features is found in the second.

    Attributes:
        cosines: best matches by decoder; None: the two write into different spaces.
        correlations: best matches by activations.
        partners: one to one, by correlation.
        by_cosine: the figures of `cosines`; None where there are none.
        by_correlation: the figures of `correlations`; None where no feature can be judged.
    """

    cosines: Matches | None
    correlations: Matches
    partners: Matches
    by_cosine: MatchFigures | None
    by_correlation: MatchFigures | None


def match_figures(
    matches: Matches,
    nulls: tuple[NDArray[np.float64], NDArray[np.float64]],
    bar: float,
    left_out: NDArray[np.float64] | None = None,
) -> MatchFigures | None:
    """The figures of one measure, in one direction.

    Args:
        matches: best matches; features that cannot be judged have none.
        nulls: best matches with two nulls drawn independently, [n] each: the first gives the
            threshold, the second says how many chance puts above it.
        bar: least value at which a feature counts as found again.
        left_out: the value of each match without one group of documents after another, [g, m]; the
            text is then a source of error beside the choice of features.

    Returns:
        None where no feature can be judged.
    """
    values = matches.values[matches.known]
    if not (len(values) and len(nulls[0]) and len(nulls[1])):
        return None
    threshold = float(np.quantile(nulls[0], NULL_QUANTILE))
    bar = max(bar, threshold)
    low = 0.0 if min(values.min(), nulls[1].min()) >= 0 else -1.0
    return MatchFigures(
        found=_share(values >= bar, left_out, bar),
        null_found=_share(nulls[1] >= bar),
        above_null=_share(values > threshold, left_out, threshold),
        null_above=_share(nulls[1] > threshold),
        threshold=threshold,
        bar=bar,
        median=float(np.median(values)),
        null_median=float(np.median(nulls[1])),
        counts=_counts(values, low),
        null_counts=_counts(nulls[1], low),
        low=low,
    )


def _counts(values: NDArray[np.float64], low: float) -> tuple[int, ...]:
    return tuple(np.histogram(values, N_BUCKETS, (low, 1.0))[0].tolist())


def _share(
    passed: NDArray[np.bool_], left_out: NDArray[np.float64] | None = None, bar: float = 0.0
) -> FoundShare:
    """A share of features, with Wilson's interval for as many draws as they are worth.

    Features are draws from those that a training could have found. Where the matches rest on a
    text, its documents are drawn, too: the jackknife over groups of them says how much the share
    moves with the text, and both variances add up.
    """
    n = len(passed)
    share = float(passed.mean())
    worth = float(n)
    if left_out is not None and 0 < share < 1 and len(left_out) > 1:
        shares = (left_out >= bar).mean(axis=1)
        groups = len(shares)
        of_text = (groups - 1) / groups * float(((shares - shares.mean()) ** 2).sum())
        own = share * (1 - share)
        worth = own / (own / n + of_text)
    low, high = wilson_interval(share * worth, worth)
    return FoundShare(share, min(low, share), max(high, share), n)
