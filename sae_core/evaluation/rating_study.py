"""What ratings of features of several dictionaries say: distributions, differences, agreement.

The unit is the item. Each item's figure is the mean of its raters' ratings, so that many raters do
not count as many items; groups are compared by these figures, and intervals are over items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sae_core.evaluation.agreement import AgreementFigure, Metric, krippendorff_alpha
from sae_core.evaluation.two_samples import GroupDifference, difference

PAIR_DRAWS = 500  # there may be many pairs


@dataclass(frozen=True)
class RatedGroup:
    """The ratings of one dictionary's items by one criterion.

    Attributes:
        items: that somebody rated.
        mean: of the items' figures; NaN where none is rated.
        median: likewise.
        counts: how many ratings were 0, 1, … up to the highest.
    """

    items: int
    mean: float
    median: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class CriterionResult:
    """All that is known by one criterion, or of the total.

    Attributes:
        highest: rating there is.
        groups: one of each dictionary.
        differences: of each pair of dictionaries, by their places; the first less the second.
        ordinal: agreement of the raters where only the order of ratings counts.
        interval: where equal steps count equally.
    """

    highest: int
    groups: tuple[RatedGroup, ...]
    differences: dict[tuple[int, int], GroupDifference]
    ordinal: AgreementFigure
    interval: AgreementFigure


@dataclass(frozen=True)
class PairAgreement:
    """Two raters.

    Attributes:
        first: place of the one.
        second: place of the other.
        items: that both rated.
        ordinal: their agreement on the total.
        interval: likewise.
        apart: mean distance of their totals; NaN without common items.
    """

    first: int
    second: int
    items: int
    ordinal: AgreementFigure
    interval: AgreementFigure
    apart: float


def criterion_result(
    ratings: NDArray[np.float64],
    group_of: NDArray[np.int64],
    n_groups: int,
    highest: int,
    seed: int,
) -> CriterionResult:
    """What raters say by one criterion.

    Args:
        ratings: by rater and item, NaN where there is none, float [raters, items].
        group_of: the dictionary of each item, int64 [items].
        n_groups: dictionaries.
        highest: rating there is.
        seed: of all intervals.
    """
    rated = np.isfinite(ratings)
    times = rated.sum(0)
    figures = np.where(rated, ratings, 0.0).sum(0) / np.maximum(times, 1)
    groups, by_group = [], []
    for group in range(n_groups):
        inside = group_of == group
        own = figures[inside & (times > 0)]
        values = ratings[:, inside][rated[:, inside]].astype(np.int64)
        by_group.append(own)
        groups.append(
            RatedGroup(
                items=len(own),
                mean=float(own.mean()) if len(own) else float("nan"),
                median=float(np.median(own)) if len(own) else float("nan"),
                counts=tuple(np.bincount(values, minlength=highest + 1).tolist()),
            )
        )
    return CriterionResult(
        highest=highest,
        groups=tuple(groups),
        differences={
            (i, j): difference(by_group[i], by_group[j], seed)
            for i, j in combinations(range(n_groups), 2)
        },
        ordinal=krippendorff_alpha(ratings, Metric.ORDINAL, seed),
        interval=krippendorff_alpha(ratings, Metric.INTERVAL, seed),
    )


def pair_agreements(
    totals: NDArray[np.float64], pairs: Sequence[tuple[int, int]], seed: int
) -> tuple[PairAgreement, ...]:
    """How far each of these pairs of raters agrees on totals, float [raters, items]."""
    out = []
    for i, j in pairs:
        both = totals[[i, j]]
        shared = np.isfinite(both).all(0)
        apart = np.abs(both[0, shared] - both[1, shared])
        out.append(
            PairAgreement(
                first=i,
                second=j,
                items=int(shared.sum()),
                ordinal=krippendorff_alpha(both, Metric.ORDINAL, seed, PAIR_DRAWS),
                interval=krippendorff_alpha(both, Metric.INTERVAL, seed, PAIR_DRAWS),
                apart=float(apart.mean()) if len(apart) else float("nan"),
            )
        )
    return tuple(out)
