"""From what the store says of a feature's contexts to what the JSON interface answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.pages.feature import schema
from app.rendering.contexts import Context
from app.rendering.tokens import Typeset, printable
from app.web.answers import effect
from sae_core.harvest.records import ContextEffect, ExampleGroup


def context(
    example: Context, stored: ContextEffect | None, typeset: Typeset
) -> schema.ContextAnswer:
    """One example in its window; `stored`: what ablation does there, where that is known."""
    window = example.window
    tokens = window.tokens.tolist()
    return schema.ContextAnswer(
        window=window.number,
        document=printable(window.document),
        line=example.line,
        peak=example.peak,
        tokens=tokens,
        text=[typeset.real[token] for token in tokens],
        positions=example.positions,
        values=[float(value) for value in example.values],
        effect=None if stored is None else effect(stored, typeset),
    )


def group(
    stored: ExampleGroup,
    contexts: Iterable[Context],
    effects: Mapping[int, ContextEffect],
    typeset: Typeset,
) -> schema.Group:
    """A group with its contexts, and what ablation does to each, by window, where known."""
    examples = [
        context(example, effects.get(example.window.number), typeset) for example in contexts
    ]
    return schema.Group.model_validate({**vars(stored), "key": stored.key, "examples": examples})
