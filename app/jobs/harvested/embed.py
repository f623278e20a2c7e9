"""`featurescope embed`: what is said of features, as vectors to search by meaning."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.errors import InvalidRequest
from app.rendering.tokens import Typeset, Typesets
from app.rendering.words.summary import summary_of_row
from app.settings import Settings
from app.store.search.meaning_folder import meaning_folder, unfinished_folder
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView, FeatureRow
from sae_core.meaning.sentence_model import SentenceModel, find_sentence_model
from sae_core.meaning.vectors import open_vectors, save_vectors

_CHUNK = 1024  # features
_AT_ONCE = 64  # texts
_SAVED_EVERY = 60.0  # seconds


def embed(settings: Settings, model: str, name: str, sentences: str) -> int:
    """Embed label, rule and summary of every feature that has any; how many texts.

    A text that was embedded before, by a run that ended or by one that was stopped, keeps its
    vector.

    Raises:
        InvalidRequest: nothing is known of the dictionary's features yet.
        NotFound: there is no such dictionary.
        ModelError: there is no sentence model.
    """
    source = find_sentence_model(sentences)
    encoder = SentenceModel(source)
    with open_store(settings) as store:
        view = store.dictionary(model, name)
        if view.harvest is None:
            raise InvalidRequest(f"Nothing is published of {view.title} yet: harvest it first.")
        pairs = list(_texts(store, view))
    if not pairs:
        raise InvalidRequest(
            f"Nothing is said of the features of {view.title}: no labels, rules or counts. Harvest "
            "it again with this version, or label some."
        )
    indices, texts = zip(*pairs, strict=True)
    folder = meaning_folder(settings.home, view)
    unfinished = unfinished_folder(folder)
    about = {"model": str(source), "checksum": encoder.checksum, "digest": view.digest}
    known = _known(folder, encoder) | _known(unfinished, encoder)
    vectors = _embedded(texts, encoder, known, lambda new: _save(unfinished, new, about))
    save_vectors(folder, indices, texts, vectors, about)
    shutil.rmtree(unfinished, ignore_errors=True)
    return len(texts)


def _known(folder: Path, encoder: SentenceModel) -> dict[str, NDArray[np.float32]]:
    """What this model made of texts before."""
    saved = open_vectors(folder)
    if saved is None or saved.about.get("checksum") != encoder.checksum:
        return {}
    return dict(zip(saved.texts, saved.vectors, strict=True))


def _embedded(
    texts: Sequence[str],
    encoder: SentenceModel,
    known: dict[str, NDArray[np.float32]],
    save: Callable[[dict[str, NDArray[np.float32]]], None],
) -> NDArray[np.float32]:
    """The vector of each text, each different one embedded once; texts of like length together,
    because a batch is as long as its longest.
    """
    missing = sorted({*texts} - known.keys(), key=lambda text: (len(text), text))
    new: dict[str, NDArray[np.float32]] = {}
    saved = time.monotonic()
    with tqdm(total=len(missing), desc="embedding", unit="text", unit_scale=True) as bar:
        for start in range(0, len(missing), _AT_ONCE):
            batch = missing[start : start + _AT_ONCE]
            new |= zip(batch, encoder.encode(batch), strict=True)
            bar.update(len(batch))
            if time.monotonic() - saved > _SAVED_EVERY:
                save(new)
                saved = time.monotonic()
    every = known | new
    return np.stack([every[text] for text in texts])


def _save(folder: Path, new: dict[str, NDArray[np.float32]], about: dict[str, str]) -> None:
    save_vectors(folder, range(len(new)), [*new], np.stack([*new.values()]), about)


def _texts(store: Store, view: DictionaryView) -> Iterator[tuple[int, str]]:
    typeset = Typesets().of(view.model_id, store.vocabulary(view.model_id))
    for start in range(0, view.d_sae, _CHUNK):
        rows = store.rows(view, range(start, min(start + _CHUNK, view.d_sae)))
        for index, row in sorted(rows.items()):
            yield from ((index, text) for text in _said(row, typeset))


def _said(row: FeatureRow, typeset: Typeset) -> list[str]:
    # A rule that is not above its null says nothing that would be worth finding.
    rule = row.rule.sentence if row.rule is not None and row.rule.above else ""
    said = (row.label, rule, summary_of_row(row, typeset).text if row.firings else "")
    return [text for text in said if text]
