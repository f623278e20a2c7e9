"""Ratings as a CSV file: a line for each rating that was ever given."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from app.rendering.markup import cell
from app.store.types.ratings import RUBRIC, RatingItem, RatingView, StudyView
from app.store.written.ratings import latest

COLUMNS = (
    "item",
    "model",
    "dictionary",
    "index",
    "rater",
    "kind",
    "blind",
    "counts",
    *(criterion.key for criterion in RUBRIC),
    "total",
    "interpretation",
    "failure",
    "changed",
)


def as_csv(study: StudyView, items: Iterable[RatingItem], ratings: Iterable[RatingView]) -> str:
    """The file. `counts` is 1 for the newest blind rating of an item by a rater, where it is one.

    `changed` is in seconds since 1970.
    """
    ratings = list(ratings)
    sources = {source.subject: source for source in study.sources}
    by_id = {item.id: item for item in items}
    counted = {r.id for r in latest(r for r in ratings if r.blind).values() if r.scores}
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for rating in ratings:
        item, scores = by_id[rating.item], rating.scores
        source = sources[item.subject]
        answers = ["" if scores is None else getattr(scores, c.key) for c in RUBRIC]
        writer.writerow(
            [
                item.id,
                cell(source.model),
                cell(source.dictionary),
                item.index,
                cell(rating.rater),
                rating.kind,
                int(rating.blind),
                int(rating.id in counted),
                *answers,
                "" if scores is None else scores.total,
                cell(rating.interpretation),
                cell(rating.failure),
                rating.changed,
            ]
        )
    return out.getvalue()
