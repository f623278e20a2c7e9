"""`featurescope embed`: what is said of features, as vectors to search by meaning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from app.errors import InvalidRequest
from app.rendering.tokens import Typeset, Typesets
from app.rendering.words.summary import summary_of_row
from app.settings import Settings
from app.store.search.meaning_folder import meaning_folder
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView, FeatureRow
from sae_core.meaning.sentence_model import SentenceModel, find_sentence_model
from sae_core.meaning.vectors import save_vectors

_CHUNK = 1024  # features
_AT_ONCE = 64  # texts


def embed(settings: Settings, model: str, name: str, sentences: str) -> int:
    """Embed label, rule and summary of every feature that has any; how many texts.

    Raises:
        InvalidRequest: nothing is known of the dictionary's features yet.
        NotFound: there is no such dictionary.
        ModelError: there is no sentence model.
    """
    folder = find_sentence_model(sentences)
    encoder = SentenceModel(folder)
    with open_store(settings) as store:
        view = store.dictionary(model, name)
        if view.harvest is None:
            raise InvalidRequest(f"Nothing is published of {view.title} yet: harvest it first.")
        indices, texts, vectors = [], [], []
        for index, text in _texts(store, view):
            indices.append(index)
            texts.append(text)
        with tqdm(total=len(texts), desc="embedding", unit="text", unit_scale=True) as bar:
            for start in range(0, len(texts), _AT_ONCE):
                vectors.append(encoder.encode(texts[start : start + _AT_ONCE]))
                bar.update(len(vectors[-1]))
    if not texts:
        raise InvalidRequest(
            f"Nothing is said of the features of {view.title}: no labels, rules or counts. Harvest "
            "it again with this version, or label some."
        )
    about = {"model": str(folder), "checksum": encoder.checksum, "digest": view.digest}
    save_vectors(
        meaning_folder(settings.home, view), indices, texts, np.concatenate(vectors), about
    )
    return len(texts)


def _texts(store: Store, view: DictionaryView) -> Iterator[tuple[int, str]]:
    typeset = Typesets().of(view.model_id, store.vocabulary(view.model_id))
    for start in range(0, view.d_sae, _CHUNK):
        rows = store.rows(view, range(start, min(start + _CHUNK, view.d_sae)))
        for index, row in sorted(rows.items()):
            yield from ((index, text) for text in _said(row, typeset))


def _said(row: FeatureRow, typeset: Typeset) -> list[str]:
    rule = "" if row.rule is None else row.rule.sentence
    said = (row.label, rule, summary_of_row(row, typeset).text if row.firings else "")
    return [text for text in said if text]
