"""Evaluating a dictionary, for a harvest or by itself, and keeping its figures."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from app.errors import InvalidRequest
from app.jobs.source import OPENS_WITH_BOS, Source, SourceSpec, open_source
from app.settings import Settings
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView
from app.store.types.evaluation import EvaluationSetup, stored_evaluation
from sae_core.evaluation.evaluation import evaluate as evaluate_dictionary
from sae_core.evaluation.figures import Evaluation
from sae_core.text.corpus import STDLIB
from sae_core.text.reading import Packing, TextReading

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
        The figures as `record` makes them JSON values.

    Raises:
        FeaturescopeError: something is missing; the store, where it is to be kept, holds no such
            dictionary of the same weights.
    """
    source = open_source(settings, spec)
    with open_store(settings) if save else nullcontext() as store:
        view = _stored(store, source) if store else None
        numbers = source.evaluation_windows(tokens, seed)
        with tqdm(total=len(numbers), desc="evaluating", unit="win") as bar:

            def show(done: int) -> None:
                bar.update(done - bar.n)

            result = evaluate_dictionary(
                source.model, source.dictionary, source.windows, numbers, show, thorough=True
            )
        figures = record(source, result, tokens, seed, len(numbers))
        if store and view:
            store.save_evaluation(view, figures)
    return figures


def record(
    source: Source, result: Evaluation, tokens: int, seed: int, n_windows: int
) -> dict[str, Any]:
    """Figures with what they were measured on, as the store keeps them: JSON values.

    Args:
        source: the model, dictionary and text that were evaluated.
        result: the figures.
        tokens: how many tokens were asked for.
        seed: what the draw of windows was made from.
        n_windows: how many windows were drawn.
    """
    corpus = source.corpus
    setup = EvaluationSetup(
        corpus=corpus.name,
        reading=_reading(source.spec),
        source=corpus.source,
        fingerprint=corpus.fingerprint,
        held_out=source.held_out(tokens),
        n_ctx=source.windows.n_ctx,
        tokens=tokens,
        seed=seed,
        n_windows=n_windows,
        model_checksum=source.model.checksum,
        dictionary_checksum=source.checksum,
        dtype=str(source.model.dtype).removeprefix("torch."),
        torch=torch.__version__,
    )
    return result.figures() | {"held_out": setup.held_out, "measured": setup.model_dump()}


def stored_spec(
    settings: Settings,
    model: str,
    dictionary: str,
    corpus: str | TextReading | None = None,
    n_ctx: int | None = None,
) -> SourceSpec:
    """A dictionary of the store with its text, as commands name it.

    Args:
        settings: where the store is.
        model: name of the model.
        dictionary: name of the dictionary.
        corpus: another text than that of its harvest.
        n_ctx: other windows than those of its harvest, positions.

    Raises:
        NotFound: the store has no such dictionary.
        InvalidRequest: it was imported without weights, or does not say how its text is read.
    """
    with open_store(settings) as store:
        view = store.dictionary(model, dictionary)
    if view.is_imported:
        raise InvalidRequest(
            f"{view.title} was imported without its weights: nothing of it can be measured."
        )
    evaluation = stored_evaluation(view.evaluation)
    measured = evaluation.measured if evaluation else None
    if corpus is None and measured is None and view.corpus and view.corpus.name != STDLIB:
        raise InvalidRequest(
            f"{view.title} was harvested from {view.corpus.source} by a version that did not note "
            "how to read it: name the text with --corpus."
        )
    harvested = view.harvest.n_ctx if view.harvest else None
    return SourceSpec(
        model=view.model_path,
        dictionary=Path(view.path) if view.path else None,
        neurons=None if view.path else view.hook_point,
        name=view.name,
        model_name=view.model,
        corpus=corpus or (_as_read(measured.reading) if measured else STDLIB),
        n_ctx=n_ctx or (measured.n_ctx if measured else harvested),
        dtype=view.model_dtype,
        # Harvests of before this was noted had BOS wherever the model has one.
        prepend_bos=view.details.get(OPENS_WITH_BOS, None if view.path else True),
    )


def _reading(spec: SourceSpec) -> dict[str, Any]:
    """How the text is read: JSON values; a folder or file by its whole path."""
    reading = TextReading(spec.corpus) if isinstance(spec.corpus, str) else spec.corpus
    path = Path(reading.corpus).expanduser()
    here = reading.corpus != STDLIB and path.exists()
    corpus = str(path.resolve()) if here else reading.corpus
    return asdict(reading) | {"corpus": corpus, "packing": reading.packing.value}


def _as_read(reading: Mapping[str, Any]) -> TextReading:
    """The inverse of `_reading`."""
    return TextReading(**{**reading, "packing": Packing(reading["packing"])})


def kept(view: DictionaryView, source: Source) -> bool:
    """Whether the store has a whole evaluation of these very weights on this very text."""
    evaluation = stored_evaluation(view.evaluation)
    if evaluation is None or not evaluation.whole or evaluation.measured is None:
        return False
    measured = evaluation.measured
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
