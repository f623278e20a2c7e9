"""Evaluating a dictionary, for a harvest or by itself, and keeping what was found."""

from __future__ import annotations

from typing import Any

import torch
from tqdm import tqdm

from app.database import connect, upgrade
from app.errors import InvalidRequest
from app.settings import Settings
from app.source import Source, SourceSpec, open_source
from app.store import Store
from app.views import DictionaryView
from app.views_evaluation import stored_evaluation
from sae_core.evaluation import evaluate as evaluate_dictionary
from sae_core.evaluation_figures import Evaluation

EVALUATION_TOKENS = 65_536


def evaluate(
    settings: Settings,
    spec: SourceSpec,
    tokens: int = EVALUATION_TOKENS,
    seed: int = 0,
    save: bool = False,
) -> dict[str, Any]:
    """Compute all of a dictionary's figures; with `save` the pages show them from then on.

    Returns:
        What `record` makes of them.

    Raises:
        FeaturescopeError: something is missing; the store, where it is to be kept, holds no such
            dictionary of the same weights.
    """
    source = open_source(settings, spec)
    store = view = None
    if save:
        engine = connect(settings.url)
        upgrade(engine)
        store = Store(engine)
        view = _stored(store, source)
    numbers = source.evaluation_windows(tokens, seed)
    with tqdm(total=len(numbers), desc="evaluating", unit="win") as bar:

        def show(done: int) -> None:
            bar.update(done - bar.n)

        result = evaluate_dictionary(
            source.model, source.dictionary, source.windows, numbers, show, thorough=True
        )
    found = record(source, result, tokens, seed, len(numbers))
    if store is not None and view is not None:
        store.save_evaluation(view, found)
    return found


def record(
    source: Source, result: Evaluation, tokens: int, seed: int, n_windows: int
) -> dict[str, Any]:
    """Figures with what they were measured on, as the store keeps them: JSON values.

    Args:
        source: what was evaluated.
        result: its figures.
        tokens: how many were asked for.
        seed: of the draw of windows.
        n_windows: that were drawn.
    """
    corpus = source.corpus
    measured = {
        "corpus": corpus.name,
        "argument": source.spec.corpus_argument,
        "source": corpus.source,
        "fingerprint": corpus.fingerprint,
        "held_out": source.held_out,
        "n_ctx": source.windows.n_ctx,
        "tokens": tokens,
        "seed": seed,
        "n_windows": n_windows,
        "model_checksum": source.model.checksum,
        "dictionary_checksum": source.checksum,
        "dtype": str(source.model.dtype).removeprefix("torch."),
        "torch": torch.__version__,
    }
    return result.figures() | {"held_out": source.held_out, "measured": measured}


def kept(view: DictionaryView, source: Source) -> bool:
    """Whether the store has a whole evaluation of these very weights on this very text."""
    found = stored_evaluation(view.evaluation)
    if found is None or not found.whole or found.measured is None:
        return False
    measured = found.measured
    return (measured.model_checksum, measured.dictionary_checksum, measured.fingerprint) == (
        source.model.checksum,
        source.checksum,
        source.corpus.fingerprint,
    )


def _stored(store: Store, source: Source) -> DictionaryView:
    """The dictionary in the store, which must have the weights that are evaluated."""
    view = store.dictionary(*source.spec.titles)
    if (view.model_checksum, view.checksum) != (source.model.checksum, source.checksum):
        raise InvalidRequest(
            f"{view.title} in the store has other weights ({view.checksum[:12]}, of a model "
            f"{view.model_checksum[:12]}) than those given ({source.checksum[:12]}, "
            f"{source.model.checksum[:12]}): harvest these first, or leave --save out."
        )
    return view
