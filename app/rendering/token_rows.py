"""A context in numbers: one row for each token on which something happens."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from app.rendering.contexts import Context
from app.rendering.markup import trusted
from app.rendering.numbers import activation, nats, signed
from app.rendering.tokens import Typeset
from sae_core.harvest.records import ContextEffect

Prediction = tuple[Markup, str]


@dataclass(frozen=True)
class TokenRow:
    """What is known of one token of a context.

    Attributes:
        position: in the window.
        html: the token, everything in it visible.
        activation: of the feature there; empty where it does not fire.
        change: of the token's loss by ablation; empty while unknown.
        raised: the predictions that ablation raises most, with their change.
        lowered: those that it lowers most.
    """

    position: int
    html: Markup
    activation: str
    change: str
    raised: list[Prediction]
    lowered: list[Prediction]


def token_rows(
    context: Context, effect: ContextEffect | None, typeset: Typeset, maximum: float
) -> list[TokenRow]:
    """All tokens of the window, from its start."""
    fires = dict(zip(context.positions, context.values, strict=True))
    changed = {} if effect is None else {p: i for i, p in enumerate(effect.positions.tolist())}
    rows = []
    for position, token in enumerate(context.window.tokens.tolist()):
        at = changed.get(position)
        rows.append(
            TokenRow(
                position=position,
                html=trusted(typeset.label[token]),
                activation=activation(fires[position], maximum) if position in fires else "",
                change="" if effect is None else nats(_change(effect, at)),
                raised=_predictions(effect, at, typeset, raised=True),
                lowered=_predictions(effect, at, typeset, raised=False),
            )
        )
    return rows


def _change(effect: ContextEffect, at: int | None) -> float:
    return 0.0 if at is None else float(effect.loss_change[at])


def _predictions(
    effect: ContextEffect | None, at: int | None, typeset: Typeset, raised: bool
) -> list[Prediction]:
    if effect is None or at is None:
        return []
    ids = effect.raised_ids if raised else effect.lowered_ids
    changes = effect.raised if raised else effect.lowered
    return [
        (trusted(typeset.label[token]), signed(change))
        for token, change in zip(ids[at].tolist(), changes[at].tolist(), strict=True)
    ]
