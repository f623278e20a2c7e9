"""What the blind ratings of a study say, ready for pages, JSON and files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from app.store.store import Store
from app.store.types.ratings import (
    HIGHEST_TOTAL,
    RUBRIC,
    RaterKind,
    RatingItem,
    RatingView,
    StudyView,
)
from app.store.written.ratings import latest
from sae_core.evaluation.rating_study import (
    CriterionResult,
    PairAgreement,
    criterion_result,
    pair_agreements,
)

TOTAL = "total"
KEYS = (TOTAL, *(criterion.key for criterion in RUBRIC))
NAMES = {TOTAL: "Total", **{criterion.key: criterion.name for criterion in RUBRIC}}
MOST_PAIRS = 45  # of raters whose agreement is computed


@dataclass(frozen=True)
class RaterProgress:
    """How far a rater is.

    Attributes:
        name: as the rater chose it.
        kind: what the rater is.
        rated: items with a rating that counts as the newest.
        skipped: items passed over.
        failed: items of which a model's answer is no rating.
        unblinded: whether the rater has seen results.
    """

    name: str
    kind: RaterKind
    rated: int
    skipped: int
    failed: int
    unblinded: bool


@dataclass(frozen=True)
class RatedItem:
    """An item with what was said of it, blind.

    Attributes:
        item: as stored.
        source: place of its dictionary among the study's.
        ratings: by rater; those that others replaced are left out.
    """

    item: RatingItem
    source: int
    ratings: dict[str, RatingView]


@dataclass(frozen=True)
class StudyResults:
    """All of it.

    Attributes:
        study: with its dictionaries.
        raters: all, by name.
        rating: names of those with a blind rating, in the order of the tables.
        items: by dictionary and feature.
        by_criterion: by `KEYS`.
        pairs: of raters, by places in `rating`.
        blind: ratings that count.
        left_out: items' newest ratings that were given after their rater had seen results.
    """

    study: StudyView
    raters: tuple[RaterProgress, ...]
    rating: tuple[str, ...]
    items: tuple[RatedItem, ...]
    by_criterion: dict[str, CriterionResult]
    pairs: tuple[PairAgreement, ...]
    blind: int
    left_out: int

    @property
    def unpaired(self) -> int:
        """Pairs of raters beyond those that are compared."""
        return len(self.rating) * (len(self.rating) - 1) // 2 - len(self.pairs)


def progress(store: Store, study: StudyView) -> list[RaterProgress]:
    """How far each rater is, by name."""
    return _progress(store, study, latest(store.ratings.all_of(study.id)).values())


def _progress(
    store: Store, study: StudyView, newest: Collection[RatingView]
) -> list[RaterProgress]:
    return [
        RaterProgress(
            name=name,
            kind=own[-1].kind,
            rated=sum(r.scores is not None for r in own),
            skipped=sum(r.scores is None and not r.failure for r in own),
            failed=sum(bool(r.failure) for r in own),
            unblinded=store.ratings.unblinded(study.id, name) is not None,
        )
        for name in sorted({rating.rater for rating in newest})
        if (own := [rating for rating in newest if rating.rater == name])
    ]


def study_results(store: Store, study: StudyView) -> StudyResults:
    """Everything that is known of a study."""
    ratings = store.ratings.all_of(study.id)
    blind = latest(rating for rating in ratings if rating.blind)
    newest = latest(ratings)
    places = {source.subject: place for place, source in enumerate(study.sources)}
    said: dict[str, dict[str, RatingView]] = {}
    for (item_id, rater), rating in blind.items():
        said.setdefault(item_id, {})[rater] = rating
    items = sorted(
        store.ratings.items(study.id), key=lambda item: (places.get(item.subject, 0), item.index)
    )
    counted = {key: rating for key, rating in blind.items() if rating.scores is not None}
    raters = tuple(sorted({rater for _, rater in counted}))
    table = np.full((len(KEYS), len(raters), len(items)), np.nan)
    for column, item in enumerate(items):
        for row, rater in enumerate(raters):
            if (item.id, rater) in counted:
                scores = counted[item.id, rater].scores
                table[:, row, column] = [getattr(scores, key) for key in KEYS]
    group_of = np.array([places.get(item.subject, 0) for item in items], np.int64)
    by_criterion, pairs = _figures(
        table.tobytes(), table.shape, group_of.tobytes(), len(study.sources), study.seed
    )
    return StudyResults(
        study=study,
        raters=tuple(_progress(store, study, newest.values())),
        rating=raters,
        items=tuple(
            RatedItem(item, int(place), said.get(item.id, {}))
            for item, place in zip(items, group_of, strict=True)
        ),
        by_criterion=by_criterion,
        pairs=pairs,
        blind=len(counted),
        left_out=sum(not rating.blind for rating in newest.values()),
    )


@lru_cache(maxsize=16)
def _figures(
    table: bytes, shape: tuple[int, int, int], group_of: bytes, n_groups: int, seed: int
) -> tuple[dict[str, CriterionResult], tuple[PairAgreement, ...]]:
    """By criterion and by pair; kept, as a thousand items by ten raters take seconds.

    Args:
        table: by criterion, rater and item, NaN where there is no rating, bytes of float64.
        shape: of the table.
        group_of: the dictionary of each item, bytes of int64.
        n_groups: dictionaries.
        seed: of all intervals.
    """
    ratings = np.frombuffer(table, np.float64).reshape(shape)
    groups = np.frombuffer(group_of, np.int64)
    highest = {TOTAL: HIGHEST_TOTAL, **{c.key: c.highest for c in RUBRIC}}
    pairs = list(combinations(range(shape[1]), 2))[:MOST_PAIRS]
    by_criterion = {
        key: criterion_result(ratings[row], groups, n_groups, highest[key], seed)
        for row, key in enumerate(KEYS)
    }
    return by_criterion, pair_agreements(ratings[0], pairs, seed)
