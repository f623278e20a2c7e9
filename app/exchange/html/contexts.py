"""Contexts for a page that stands alone: no links, no scripts, each number in a token's title."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from markupsafe import Markup

from app.rendering.contexts import (
    SHORT_AFTER,
    SHORT_BEFORE,
    Context,
    activation_levels,
)
from app.rendering.markup import trusted
from app.rendering.numbers import activation, nats
from app.rendering.tokens import Typeset, printable
from app.rendering.underlines import Underlines
from sae_core.harvest.records import ContextEffect


def list_items(
    contexts: list[Context],
    effects: Mapping[int, ContextEffect],
    typeset: Typeset,
    maximum: float,
    underlines: Underlines,
) -> Markup:
    """The contexts of a group as list items, cut to the surroundings of their strongest tokens."""
    return trusted(
        "".join(
            _item(context, effects.get(context.window.number), typeset, maximum, underlines)
            for context in contexts
        )
    )


def _item(
    context: Context,
    effect: ContextEffect | None,
    typeset: Typeset,
    maximum: float,
    underlines: Underlines,
) -> str:
    looks, titles = _fires(context, maximum)
    if effect is not None:
        _changes(effect, underlines, looks, titles)
    low = max(0, context.peak - SHORT_BEFORE)
    tokens = context.window.tokens.tolist()[low : context.peak + SHORT_AFTER + 1]
    html = []
    for position, token in enumerate(tokens, low):
        classes, title = looks.get(position, []), titles.get(position, [])
        if position == context.peak:
            classes = [*classes, "p"]
        attributes = f' class="{" ".join(classes)}"' if classes else ""
        attributes += f' title="{escape("; ".join(title))}"' if title else ""
        html.append(f"<bdi{attributes}>{typeset.inline[token]}</bdi>")
    at = context.peak - low
    before, after = "".join(html[:at]), "".join(html[at:])
    source = escape(printable(context.source))
    shown = activation(context.value, maximum)
    return (
        f'<li title="{source}"><span class="v">{shown}</span>'
        f'<p class="l"><span>{before}</span></p><p class="r">{after}</p></li>'
    )


def _fires(context: Context, maximum: float) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Classes and titles of the tokens on which the feature fires, by position."""
    levels = activation_levels(context.activations, maximum).tolist()
    positions, values = context.positions, context.values
    looks = {p: [f"a{level}"] for p, level in zip(positions, levels, strict=True)}
    titles = {
        p: [f"activation {activation(value, maximum)}"]
        for p, value in zip(positions, values, strict=True)
    }
    return looks, titles


def _changes(
    effect: ContextEffect,
    underlines: Underlines,
    looks: dict[int, list[str]],
    titles: dict[int, list[str]],
) -> None:
    """Add what ablation changes."""
    levels = underlines.levels(effect.loss_change).tolist()
    changes = effect.loss_change.tolist()
    for position, level, change in zip(effect.positions.tolist(), levels, changes, strict=True):
        if level:
            looks.setdefault(position, []).append(f"u{level}" if level > 0 else f"n{-level}")
            titles.setdefault(position, []).append(f"Δloss if ablated {nats(change)} nats")
