"""From what the store says to what the JSON interface answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from app.pages.feature import schema as types
from app.rendering.contexts import Context, group_key
from app.rendering.numbers import wilson
from app.rendering.tokens import Typeset, printable
from app.store.types.catalogue import DictionaryView, FeatureTable, FeatureView, ProgressView
from app.store.types.evaluation import without_details
from sae_core.harvest.records import ContextEffect, ExampleGroup, Histogram, Ranking


def floats(values: NDArray[Any]) -> list[float]:
    """float32 values with the fewest digits that still name them exactly."""
    return [float(str(value)) for value in values]


def dictionary(view: DictionaryView) -> types.Dictionary:
    """A dictionary with all that is known of it."""
    corpus, harvest = view.corpus, view.harvest
    return types.Dictionary(
        name=view.name,
        model=types.Model(
            name=view.model,
            architecture=view.model_architecture,
            n_layers=view.n_layers,
            d_model=view.d_model,
            n_ctx=view.n_ctx,
            d_vocab=view.d_vocab,
            dtype=view.model_dtype,
            checksum=view.model_checksum,
            details=dict(view.model_details),
        ),
        hook_point=view.hook_point,
        architecture=view.architecture,
        d_in=view.d_in,
        d_sae=view.d_sae,
        is_neurons=view.is_neurons,
        alive=view.alive,
        dtype=view.dtype,
        checksum=view.checksum,
        evaluation=None if view.evaluation is None else without_details(view.evaluation),
        details=dict(view.details),
        corpus=corpus
        and types.Corpus(
            name=corpus.name,
            source=corpus.source,
            fingerprint=corpus.fingerprint,
            n_documents=corpus.n_documents,
            n_tokens=corpus.n_tokens,
            details=dict(corpus.details),
        ),
        harvest=harvest
        and types.Harvest(
            seed=harvest.seed,
            n_ctx=harvest.n_ctx,
            n_tokens=harvest.n_tokens,
            n_windows=harvest.n_windows,
            settings=dict(harvest.settings),
            digest=view.digest,
        ),
    )


def progress(view: ProgressView) -> types.Progress:
    """A harvest under way."""
    return types.Progress(
        model=view.model,
        dictionary=view.dictionary,
        phase=view.phase,
        done=view.done,
        total=view.total,
        tokens_per_second=view.tokens_per_second,
        eta_seconds=view.eta_seconds,
        stalled=view.stalled,
    )


def _histogram(histogram: Histogram) -> types.HistogramAnswer:
    return types.HistogramAnswer(
        low=histogram.low, high=histogram.high, counts=histogram.counts.tolist()
    )


def _tokens(ranking: Ranking, typeset: Typeset) -> list[types.TokenWeight]:
    return [
        types.TokenWeight(id=token, text=typeset.real[token], weight=weight)
        for token, weight in zip(ranking.ids.tolist(), floats(ranking.weights), strict=True)
    ]


def _related(ranking: Ranking) -> list[types.Related]:
    shares: list[float] | list[None] = floats(ranking.shares) or [None] * len(ranking.ids)
    rows = zip(ranking.ids.tolist(), floats(ranking.weights), shares, strict=True)
    return [types.Related(index=index, weight=weight, share=share) for index, weight, share in rows]


def table(found: FeatureTable, typeset: Typeset) -> types.FeatureTable:
    """One page of the feature table."""
    return types.FeatureTable(
        model=found.dictionary.model,
        dictionary=found.dictionary.name,
        total=found.total,
        page=found.page,
        pages=found.pages,
        features=[
            types.FeatureRow(
                index=row.index,
                label=printable(row.label),
                firings=row.firings,
                density=row.density,
                maximum=row.maximum,
                activations=_histogram(row.histogram),
                raised=_tokens(row.raised, typeset),
            )
            for row in found.rows
        ],
    )


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
        activations=_histogram(record.activations),
        logits=_histogram(record.logits),
        raised=_tokens(record.raised, typeset),
        lowered=_tokens(record.lowered, typeset),
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


def _predictions(
    ids: NDArray[Any], changes: NDArray[Any], typeset: Typeset
) -> list[list[types.Prediction]]:
    text = typeset.real
    return [
        [
            types.Prediction(id=token, text=text[token], change=change)
            for token, change in zip(row_ids.tolist(), floats(row_changes), strict=True)
        ]
        for row_ids, row_changes in zip(ids, changes, strict=True)
    ]


def effect(known: ContextEffect, typeset: Typeset) -> types.Effect:
    """What ablation does to a context."""
    return types.Effect(
        positions=known.positions.tolist(),
        loss_change=floats(known.loss_change),
        raised=_predictions(known.raised_ids, known.raised, typeset),
        lowered=_predictions(known.lowered_ids, known.lowered, typeset),
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
