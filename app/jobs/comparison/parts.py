"""The opened parts of a comparison: dictionaries that read the same tokens, and what they fire on.

Tokens are the same for all: a window has as many of them whether BOS opens it or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.jobs.harvested.evaluate import stored_spec
from app.jobs.source import (
    SourceSpec,
    default_context,
    open_dictionary,
    open_model,
    open_windows,
    opened_for,
)
from app.settings import Settings
from app.store.types.catalogue import DictionaryView
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import Places, places_of
from sae_core.dictionaries.screening import screened
from sae_core.evaluation.comparison.firings import FiringCollector, TokenFirings
from sae_core.language_model.model import LanguageModel
from sae_core.text.tokenized import Windows

BATCH_WINDOWS = 64
MOST_FIRINGS = 200_000_000
"""Of all dictionaries together: they are held in memory, some 32 bytes each."""


@dataclass(frozen=True)
class ComparedPart:
    """A dictionary that is compared.

    Attributes:
        view: as the store has it.
        spec: how it is opened.
        model: that it reads, opening texts as it was trained to see them.
        dictionary: its weights.
        places: where it reads and writes.
        windows: the text, with as many tokens in a window as for all others.
    """

    view: DictionaryView
    spec: SourceSpec
    model: LanguageModel
    dictionary: Dictionary
    places: Places
    windows: Windows


@dataclass(frozen=True)
class ReadText:
    """What was read.

    Attributes:
        firings: of each dictionary, on the same tokens.
        documents: the document that each token lies in, int64 [n_tokens].
    """

    firings: tuple[TokenFirings, ...]
    documents: NDArray[np.int64]


def open_parts(
    settings: Settings,
    views: Sequence[DictionaryView],
    corpus: str | None = None,
    n_ctx: int | None = None,
) -> list[ComparedPart]:
    """Load what is compared, and find that it can be.

    Args:
        settings: where the store is, and what is computed on.
        views: of the dictionaries, at least one.
        corpus: the text; None: the one that the first of them was harvested on.
        n_ctx: positions in a window; None: as in its harvest.

    Raises:
        InvalidRequest: one was imported without weights, its files have changed, or the models
            read text as different tokens.
        FeaturescopeError: something is missing.
    """
    first = stored_spec(settings, views[0].model, views[0].name, corpus, n_ctx)
    models: dict[tuple[str, str], LanguageModel] = {}
    opened: list[tuple[SourceSpec, LanguageModel, Dictionary]] = []
    for view in views:
        spec = stored_spec(settings, view.model, view.name, first.corpus, n_ctx)
        key = (spec.model, spec.dtype)
        if key not in models:
            models[key] = open_model(settings, spec.model, spec.dtype)
        dictionary, checksum = open_dictionary(models[key], spec, settings.device)
        if (checksum, models[key].checksum) != (view.checksum, view.model_checksum):
            raise InvalidRequest(
                f"The files of {view.title} have changed since it was put into the store: harvest "
                "it again first."
            )
        opened.append((spec, opened_for(models[key], dictionary, spec.prepend_bos), dictionary))
    # As many tokens of text in a window as all of them take.
    n_text = min(
        (spec.n_ctx or default_context(model, dictionary)) - (model.vocabulary.bos is not None)
        for spec, model, dictionary in opened
    )
    parts = []
    for view, (spec, model, dictionary) in zip(views, opened, strict=True):
        _check_tokens(views[0], opened[0][1], view, model)
        own = n_text + (model.vocabulary.bos is not None)
        windows = open_windows(settings, model, first.corpus, own)
        places = places_of(model, dictionary)
        parts.append(ComparedPart(view, spec, model, dictionary, places, windows))
    # One text as tokens for all, even where two tokenizer files are spelled otherwise.
    text = parts[0].windows.corpus
    for part in parts:
        if not np.array_equal(part.windows.corpus.tokens, text.tokens):
            raise InvalidRequest(_different_tokens(views[0], part.view))
    return [replace(part, windows=replace(part.windows, corpus=text)) for part in parts]


def _check_tokens(
    first: DictionaryView, its: LanguageModel, other: DictionaryView, model: LanguageModel
) -> None:
    if its.vocabulary.pieces != model.vocabulary.pieces:
        raise InvalidRequest(_different_tokens(first, other))


def _different_tokens(first: DictionaryView, other: DictionaryView) -> str:
    return (
        f"{first.model} and {other.model} read text as different tokens, so there is no token on "
        "which both could fire, and their decoders write into different spaces: nothing of "
        f"{first.title} and {other.title} can be compared. Compare dictionaries of one model, or "
        "of models with one tokenizer."
    )


def read_text(
    parts: Sequence[ComparedPart],
    order: NDArray[np.int64],
    on_tokens: Callable[[int], object],
) -> ReadText:
    """One pass of the text through all models and dictionaries.

    Args:
        parts: the dictionaries.
        order: numbers of the windows to read.
        on_tokens: told how many more tokens are read.

    Raises:
        InvalidRequest: so many features fire that the firings would not fit into memory.
    """
    collectors = [FiringCollector(part.dictionary.d_sae) for part in parts]
    encoders = [screened(part.dictionary) for part in parts]
    is_special = parts[0].model.vocabulary.is_special
    documents, n_tokens, n_firings = [np.zeros(0, dtype=np.int64)], 0, 0
    for begin in range(0, len(order), BATCH_WINDOWS):
        numbers = order[begin : begin + BATCH_WINDOWS]
        captured: dict[tuple[str, str, int | None, str], torch.Tensor] = {}
        for part, encoder, collector in zip(parts, encoders, collectors, strict=True):
            bos = part.model.vocabulary.bos
            key = (part.spec.model, part.spec.dtype, bos, part.places.read.name)
            if key not in captured:
                captured[key] = _captured(part, numbers, is_special)
            firings = encoder.encode_sparse(captured[key])
            collector.append(firings, len(captured[key]))
            n_firings += len(firings.rows)
        tokens, mask = parts[0].windows.gather(numbers)
        counts = (mask & ~is_special[tokens]).sum(axis=1)
        documents.append(np.repeat(parts[0].windows.document_of(numbers), counts))
        n_tokens += int(counts.sum())
        if n_firings > MOST_FIRINGS:
            raise InvalidRequest(
                f"So many features fire that their activations fill the memory after {n_tokens:,} "
                f"tokens: give --tokens {max(1, n_tokens * 9 // 10):_} or less."
            )
        on_tokens(int(counts.sum()))
    read = tuple(collector.finish() for collector in collectors)
    return ReadText(read, np.concatenate(documents))


@torch.inference_mode()
def _captured(
    part: ComparedPart, numbers: NDArray[np.int64], is_special: NDArray[np.bool_]
) -> torch.Tensor:
    """The activation on the tokens of text of some windows, [n, d_in]."""
    tokens, mask = part.windows.gather(numbers)
    text = np.flatnonzero(mask & ~is_special[tokens])
    x = part.model.capture(torch.from_numpy(tokens).to(part.model.device), part.places.read)
    return x.flatten(0, 1)[torch.from_numpy(text).to(x.device)]
