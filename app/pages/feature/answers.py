"""From what the store says to what the JSON interface answers."""

from __future__ import annotations

from collections.abc import Iterable

from app.pages.feature import schema as types
from app.rendering.contexts import Context, group_key
from app.rendering.numbers import wilson
from app.rendering.tokens import Typeset, printable
from app.store.types.catalogue import FeatureView
from app.web.answers import effect, histogram, tokens
from app.web.schema import floats
from sae_core.harvest.records import ContextEffect, ExampleGroup, Ranking


def _related(ranking: Ranking) -> list[types.Related]:
    shares: list[float] | list[None] = floats(ranking.shares) or [None] * len(ranking.ids)
    rows = zip(ranking.ids.tolist(), floats(ranking.weights), shares, strict=True)
    return [types.Related(index=index, weight=weight, share=share) for index, weight, share in rows]


def feature(view: FeatureView, typeset: Typeset) -> types.Feature:
    """A feature without its contexts."""
    record, of = view.record, view.dictionary
    low, high = wilson(record.firings, of.n_tokens)
    return types.Feature(
        model=of.model,
        model_checksum=of.model_checksum,
        dictionary=of.name,
        dictionary_checksum=of.checksum,
        corpus=of.corpus.name if of.corpus else "",
        corpus_fingerprint=of.corpus.fingerprint if of.corpus else "",
        dtype=of.dtype,
        n_tokens=of.n_tokens,
        index=record.index,
        label=printable(view.label),
        firings=record.firings,
        density=record.firings / max(1, of.n_tokens),
        density_low=low,
        density_high=high,
        maximum=record.maximum,
        activations=histogram(record.activations),
        logits=histogram(record.logits),
        raised=tokens(record.raised, typeset),
        lowered=tokens(record.lowered, typeset),
        neurons=_related(record.neurons),
        nearest=_related(record.nearest),
        coactive=_related(record.coactive),
        groups=[_summary(group) for group in record.groups],
    )


def _summary(group: ExampleGroup) -> types.GroupSummary:
    return types.GroupSummary(
        key=group_key(group),
        low=group.low,
        high=group.high,
        firings=group.firings,
        contexts=len(group.examples),
    )


def context(shown: Context, known: ContextEffect | None, typeset: Typeset) -> types.Context:
    """One example in its window."""
    tokens = shown.window.tokens.tolist()
    return types.Context(
        window=shown.window.number,
        document=printable(shown.window.document),
        line=shown.line,
        peak=shown.peak,
        tokens=tokens,
        text=[typeset.real[token] for token in tokens],
        positions=list(shown.positions),
        values=[float(f"{value:.9g}") for value in shown.values],
        effect=None if known is None else effect(known, typeset),
    )


def group(
    found: ExampleGroup,
    contexts: Iterable[Context],
    effects: dict[int, ContextEffect],
    typeset: Typeset,
) -> types.Group:
    """A group with its contexts, and their effects where known."""
    return types.Group(
        **_summary(found).model_dump(),
        examples=[context(one, effects.get(one.window.number), typeset) for one in contexts],
    )
