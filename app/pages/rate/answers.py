"""What the JSON interface answers, made of what the store and the results say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from app.pages.rate import schema
from app.pages.rate.results import KEYS, StudyResults
from app.store.types.ratings import RatingItem, RatingView
from sae_core.evaluation.agreement import AgreementFigure
from sae_core.harvest.blinding import BlindSheet


def fields_of(value: object, kind: type[BaseModel]) -> dict[str, Any]:
    """The attributes of a value that an answer has."""
    return {name: getattr(value, name) for name in kind.model_fields}


def rating(view: RatingView | None) -> schema.RatingAnswer | None:
    """A rating; None stays None."""
    return None if view is None else schema.RatingAnswer.model_validate(view)


def blind_item(
    item: RatingItem,
    sheet: BlindSheet | None,
    text: Mapping[int, str] | None,
    own: RatingView | None,
) -> schema.ItemAnswer:
    """What a rater sees of an item; `text`: of each token."""
    if sheet is None or text is None:
        return schema.ItemAnswer(id=item.id, groups=[], raised=[], lowered=[], rating=rating(own))
    return schema.ItemAnswer(
        id=item.id,
        groups=[
            schema.BlindGroupAnswer(
                lowest=group.lowest,
                highest=group.highest,
                contexts=[
                    schema.BlindContextAnswer(
                        tokens=[text[token] for token in context.tokens.tolist()],
                        bands=context.bands.tolist(),
                        peak=context.peak,
                    )
                    for context in group.contexts
                ],
            )
            for group in sheet.groups
        ],
        raised=[
            schema.ShareOfToken(text=text[token], share=share) for token, share in sheet.raised
        ],
        lowered=[
            schema.ShareOfToken(text=text[token], share=share) for token, share in sheet.lowered
        ],
        rating=rating(own),
    )


def results(shown: StudyResults) -> schema.StudyResultsAnswer:
    """All results; what is undefined is null."""
    return schema.StudyResultsAnswer.model_validate(
        {
            **fields_of(shown.study, schema.StudySummary),
            "settings": dict(shown.study.settings),
            "dictionaries": [
                schema.SourceAnswer.model_validate(source) for source in shown.study.sources
            ],
            "raters": [schema.RaterAnswer.model_validate(one) for one in shown.raters],
            "blind": shown.blind,
            "left_out": shown.left_out,
            "criteria": [_criterion(shown, key) for key in KEYS],
            "pairs": [
                {
                    "first": shown.rating[pair.first],
                    "second": shown.rating[pair.second],
                    "items": pair.items,
                    "ordinal": _alpha(pair.ordinal),
                    "interval": _alpha(pair.interval),
                    "apart": _number(pair.apart),
                }
                for pair in shown.pairs
            ],
            "items": [
                {
                    "id": one.item.id,
                    "source": one.source,
                    "index": one.item.index,
                    "ratings": [rating(view) for _, view in sorted(one.ratings.items())],
                }
                for one in shown.items
            ],
        }
    )


def _criterion(shown: StudyResults, key: str) -> dict[str, Any]:
    result = shown.by_criterion[key]
    return {
        "key": key,
        "highest": result.highest,
        "groups": [_finite(asdict(group)) for group in result.groups],
        "differences": [
            {**_finite(asdict(compared)), "first": first, "second": second}
            for (first, second), compared in result.differences.items()
        ],
        "ordinal": _alpha(result.ordinal),
        "interval": _alpha(result.interval),
    }


def _alpha(figure: AgreementFigure) -> dict[str, Any]:
    return _finite(asdict(figure))


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """With null for what is not a number."""
    return {name: _number(v) if isinstance(v, float) else v for name, v in values.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
