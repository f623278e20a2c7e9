"""Comparisons for tests, seeded: without weights and without a text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from app.store.types.catalogue import DictionaryView
from app.store.types.comparisons import (
    ComparedDictionary,
    ComparisonRecord,
    ComparisonSettings,
    PairFigures,
    PairMatches,
)
from app.store.written.texts import subject
from sae_core.evaluation.comparison.figures import match_figures
from sae_core.evaluation.comparison.matches import NONE, Matches


def compared(dictionary: str = "mlp-13", d_sae: int = 12, **changes: Any) -> ComparedDictionary:
    """A dictionary that no store has."""
    values: dict[str, Any] = {
        "subject": f"weights of {dictionary}",
        "model": "demo",
        "dictionary": dictionary,
        "digest": "e" * 64,
        "d_sae": d_sae,
        "model_checksum": "a" * 64,
        "checksum": f"weights of {dictionary}",
        "hook_point": "blocks.0.mlp.hook_post",
        "architecture": "topk",
        "is_neurons": False,
        "silent": d_sae // 4,
        "rare": 0,
    }
    return ComparedDictionary(**(values | changes))


def of_view(view: DictionaryView) -> ComparedDictionary:
    """One that a store has, every fourth feature of it silent."""
    return compared(
        view.name,
        view.d_sae,
        subject=subject(view),
        model=view.model,
        digest=view.digest,
        model_checksum=view.model_checksum,
        checksum=view.checksum,
        hook_point=view.hook_point,
        architecture=view.architecture,
        is_neurons=view.is_neurons,
    )


def comparison(
    *dictionaries: ComparedDictionary, name: str = "seeds", **settings: Any
) -> ComparisonRecord:
    """Each with every other; about half of the features are found again."""
    values: dict[str, Any] = {
        "corpus": "python-stdlib",
        "source": "the standard library of Python 3.11",
        "fingerprint": "c" * 64,
        "n_tokens": 250_000,
        "n_documents": 120,
        "n_text": 31,
        "seed": 0,
        "bar": 0.7,
    }
    places = range(len(dictionaries))
    return ComparisonRecord(
        name=name,
        identity=f"{name} {settings}",
        settings=ComparisonSettings(**(values | settings)),
        dictionaries=dictionaries,
        pairs=tuple(
            _pair(dictionaries, source, target)
            for source in places
            for target in places
            if source != target
        ),
    )


def _pair(dictionaries: tuple[ComparedDictionary, ...], source: int, target: int) -> PairMatches:
    rng = np.random.default_rng([19, source, target])
    n, m = dictionaries[source].d_sae, dictionaries[target].d_sae
    nulls = (rng.uniform(0, 0.2, 50), rng.uniform(0, 0.2, 50))
    everything = _matches(rng, n, m, np.zeros(n, dtype=bool))
    fires = _matches(rng, n, m, np.arange(n) % 4 == 3)
    return PairMatches(
        figures=PairFigures(
            source=source,
            target=target,
            by_cosine=match_figures(everything, nulls, 0.7),
            by_correlation=match_figures(fires, nulls, 0.7),
            assigned=True,
        ),
        cosines=everything,
        correlations=fires,
        partners=_matches(rng, n, m, np.arange(n) % 4 >= 2),
    )


def without(pair: PairMatches, measure: Literal["cosine", "correlation"]) -> PairMatches:
    """A pair whose features could not be matched by a measure."""
    if measure == "cosine":
        return replace(pair, figures=replace(pair.figures, by_cosine=None), cosines=None)
    n = len(pair.correlations.indices)
    nothing = Matches(np.full(n, NONE), np.full(n, np.nan))
    figures = replace(pair.figures, by_correlation=None)
    return replace(pair, figures=figures, correlations=nothing, partners=nothing)


def with_pairs(record: ComparisonRecord, pairs: tuple[PairMatches, ...]) -> ComparisonRecord:
    """The comparison with other pairs, which is another one."""
    return replace(record, identity=f"{record.identity} {pairs[0].figures}", pairs=pairs)


def _matches(rng: np.random.Generator, n: int, m: int, none: np.ndarray) -> Matches:
    values = rng.uniform(0.4, 1.0, n).astype(np.float32).astype(np.float64)
    indices = rng.integers(0, m, n)
    return Matches(np.where(none, NONE, indices), np.where(none, np.nan, values))
