"""Parts of JSON answers that several pages give: tokens, predictions, effects, histograms."""

from __future__ import annotations

from typing import Annotated, Any

from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationInfo

from app.rendering.tokens import Typeset
from app.web.schema import Answer, Integers, floats
from sae_core.harvest.records import ContextEffect, Landing, Ranking


class HistogramAnswer(Answer):
    """Counts over equal-width buckets from `low` to `high`."""

    low: float
    high: float
    counts: Integers


class TokenWeight(Answer):
    """A token with a weight."""

    id: int = Field(examples=[297])
    text: str = Field(
        description="The token's text; bytes that are not UTF-8 as `\\xe2`.", examples=[" self"]
    )
    weight: float = Field(description="Logits per unit of activation.", examples=[1.25])


def _token_weights(ranking: Ranking, info: ValidationInfo[Typeset]) -> list[TokenWeight]:
    text = info.context.real
    return [
        TokenWeight(id=token, text=text[token], weight=weight)
        for token, weight in zip(ranking.ids.tolist(), floats(ranking.weights), strict=True)
    ]


RankedTokens = Annotated[list[TokenWeight], BeforeValidator(_token_weights)]
"""Made of a `Ranking` of tokens; the context of the validation is the model's `Typeset`."""


class TokenShare(Answer):
    """A token with its share of a feature's firings."""

    id: int = Field(examples=[297])
    text: str = Field(examples=[" self"])
    share: float = Field(description="Of all of the feature's firings.", examples=[0.82])


class LandedOn(Answer):
    """A token that a feature's effect lands on: the one it helps most in some top contexts."""

    id: int = Field(examples=[297])
    text: str = Field(examples=[" self"])
    effect: float = Field(description="Mean loss change in those contexts, nats.", examples=[0.86])
    share: float = Field(description="Of the top contexts.", examples=[0.4])


def _token_shares(
    ranking: Ranking | None, info: ValidationInfo[Typeset]
) -> list[TokenShare] | None:
    if ranking is None:
        return None
    text = info.context.real
    return [
        TokenShare(id=token, text=text[token], share=share)
        for token, share in zip(ranking.ids.tolist(), floats(ranking.weights), strict=True)
    ]


def _landed_on(landing: Landing | None, info: ValidationInfo[Typeset]) -> list[LandedOn] | None:
    if landing is None:
        return None
    text, ranking = info.context.real, landing.tokens
    columns = (ranking.ids.tolist(), floats(ranking.weights), floats(ranking.shares))
    return [
        LandedOn(id=token, text=text[token], effect=effect, share=share)
        for token, effect, share in zip(*columns, strict=True)
    ]


TokenShares = Annotated[list[TokenShare] | None, BeforeValidator(_token_shares)]
"""Made of a `Ranking` of tokens by share; the context is the model's `Typeset`."""

LandsOn = Annotated[list[LandedOn] | None, BeforeValidator(_landed_on)]
"""Made of a `Landing`; the context is the model's `Typeset`."""


class MovedPrediction(Answer):
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
    raised: list[list[MovedPrediction]] = Field(
        description="Five for each position, most raised first."
    )
    lowered: list[list[MovedPrediction]] = Field(description="Five for each, most lowered first.")


def _predictions(
    ids: NDArray[Any], changes: NDArray[Any], typeset: Typeset
) -> list[list[MovedPrediction]]:
    """Token numbers and changes of logits, both [positions, k], as predictions."""
    text = typeset.real
    return [
        [
            MovedPrediction(id=token, text=text[token], change=change)
            for token, change in zip(row_ids.tolist(), floats(row_changes), strict=True)
        ]
        for row_ids, row_changes in zip(ids, changes, strict=True)
    ]


def effect(stored: ContextEffect, typeset: Typeset) -> Effect:
    """What ablation does to a context."""
    return Effect(
        positions=stored.positions.tolist(),
        loss_change=floats(stored.loss_change),
        raised=_predictions(stored.raised_ids, stored.raised, typeset),
        lowered=_predictions(stored.lowered_ids, stored.lowered, typeset),
    )
