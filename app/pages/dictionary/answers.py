"""From the store's types to what the JSON interface says of a dictionary."""

from __future__ import annotations

from app.pages.dictionary import schema
from app.rendering.tokens import Typeset, printable
from app.store.types.catalogue import DictionaryView, FeatureTable
from app.store.types.evaluation import without_details
from app.web.answers import histogram, tokens


def dictionary(view: DictionaryView) -> schema.Dictionary:
    """A dictionary with all that is known of it."""
    corpus, harvest = view.corpus, view.harvest
    return schema.Dictionary(
        name=view.name,
        model=schema.Model(
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
        and schema.Corpus(
            name=corpus.name,
            source=corpus.source,
            fingerprint=corpus.fingerprint,
            n_documents=corpus.n_documents,
            n_tokens=corpus.n_tokens,
            details=dict(corpus.details),
        ),
        harvest=harvest
        and schema.Harvest(
            seed=harvest.seed,
            n_ctx=harvest.n_ctx,
            n_tokens=harvest.n_tokens,
            n_windows=harvest.n_windows,
            settings=dict(harvest.settings),
            digest=view.digest,
        ),
    )


def table(found: FeatureTable, typeset: Typeset) -> schema.FeatureTable:
    """One page of the feature table."""
    return schema.FeatureTable(
        model=found.dictionary.model,
        dictionary=found.dictionary.name,
        total=found.total,
        page=found.page,
        pages=found.pages,
        features=[
            schema.FeatureRow(
                index=row.index,
                label=printable(row.label),
                firings=row.firings,
                density=row.density,
                maximum=row.maximum,
                activations=histogram(row.histogram),
                raised=tokens(row.raised, typeset),
            )
            for row in found.rows
        ],
    )
