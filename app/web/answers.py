"""Parts of JSON answers that several pages give: tokens, predictions, effects, histograms."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray
from pydantic import Field

from app.rendering.tokens import Typeset
from app.web.schema import Answer, floats
from sae_core.harvest.records import ContextEffect, Histogram, Ranking


class HistogramAnswer(Answer):
    """Counts over equal-width buckets from `low` to `high`."""

    low: float
    high: float
    counts: list[int]


class TokenWeight(Answer):
    """A token with a weight."""

    id: int = Field(examples=[297])
    text: str = Field(
        description="The token's text; bytes that are not UTF-8 as `\\xe2`.", examples=[" self"]
    )
    weight: float = Field(description="Logits per unit of activation.", examples=[1.25])


class Prediction(Answer):
    """A prediction that ablation moves."""

    id: int
    text: str
    change: float = Field(description="Ablated minus clean logit.")


class Effect(Answer):
    """What ablating the feature does to a context, column by column.

    Positions not listed change by exactly 0. Everything under position t is about the prediction
    of token t, made at t - 1.
    """

    positions: list[int]
    loss_change: list[float] = Field(description="log p_clean - log p_ablated, nats.")
    raised: list[list[Prediction]] = Field(description="Five for each position, most raised first.")
    lowered: list[list[Prediction]] = Field(description="Five for each, most lowered first.")


def histogram(histogram: Histogram) -> HistogramAnswer:
    """A histogram as it was harvested."""
    return HistogramAnswer(low=histogram.low, high=histogram.high, counts=histogram.counts.tolist())


def tokens(ranking: Ranking, typeset: Typeset) -> list[TokenWeight]:
    """The ranked tokens with their logit weights."""
    return [
        TokenWeight(id=token, text=typeset.real[token], weight=weight)
        for token, weight in zip(ranking.ids.tolist(), floats(ranking.weights), strict=True)
    ]


def predictions(
    ids: NDArray[Any], changes: NDArray[Any], typeset: Typeset
) -> list[list[Prediction]]:
    """Token numbers and changes of logits, both [positions, k], as predictions."""
    text = typeset.real
    return [
        [
            Prediction(id=token, text=text[token], change=change)
            for token, change in zip(row_ids.tolist(), floats(row_changes), strict=True)
        ]
        for row_ids, row_changes in zip(ids, changes, strict=True)
    ]


def effect(known: ContextEffect, typeset: Typeset) -> Effect:
    """What ablation does to a context."""
    return Effect(
        positions=known.positions.tolist(),
        loss_change=floats(known.loss_change),
        raised=predictions(known.raised_ids, known.raised, typeset),
        lowered=predictions(known.lowered_ids, known.lowered, typeset),
    )
