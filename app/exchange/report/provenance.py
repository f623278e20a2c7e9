"""With which code a report was made, and which weights and text it is about."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from app import __version__
from app.exchange.report.schema import CodeFacts, DictionaryFacts, TextFacts
from app.settings import resource
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.worker.client.references import opens_with_bos
from sae_core.language_model.vocabulary import Vocabulary

_LIBRARIES = ("numpy", "safetensors", "scipy", "tokenizers", "torch", "transformer-lens")
_PACKAGES = ("app", "sae_core")


def code_facts() -> CodeFacts:
    """Of the code that runs."""
    return CodeFacts(
        version=__version__,
        source=source_digest(),
        python=platform.python_version(),
        libraries={name: version(name) for name in _LIBRARIES},
    )


@cache
def source_digest() -> str:
    """SHA-256 over names and contents of our Python files, and of what draws pages: the same in a
    clone and in what was installed from it."""
    top = Path(__file__).parents[3]
    files = {
        f"{package}/{path.relative_to(top / package).as_posix()}": path
        for package in _PACKAGES
        for path in (top / package).rglob("*.py")
    }
    for name, ending in (("templates", "*.html"), ("static", "css/**/*.css")):
        folder = resource(name)
        files |= {
            f"{name}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob(ending)
        }
    summed = hashlib.sha256()
    for name in sorted(files):
        content = hashlib.sha256(files[name].read_bytes()).hexdigest()
        summed.update(f"{name}\0{content}\n".encode())
    return summed.hexdigest()


def vocabulary_digest(vocabulary: Vocabulary) -> str:
    """SHA-256 over the bytes of all tokens in order, their lengths, and which are special."""
    summed = hashlib.sha256()
    for token, piece in enumerate(vocabulary.pieces):
        mark = "special" if token in vocabulary.special else "text"
        summed.update(f"{len(piece)} {mark}\n".encode() + piece)
    summed.update(f"bos {vocabulary.bos}".encode())
    return summed.hexdigest()


def dictionary_facts(store: Store, view: DictionaryView) -> DictionaryFacts:
    """Of a dictionary of the store."""
    return DictionaryFacts(
        model=view.model,
        name=view.name,
        hook_point=view.hook_point,
        writes_at=view.output_hook_point,
        architecture=view.architecture,
        features=view.d_sae,
        dtype=view.dtype,
        checksum=view.checksum,
        neurons=view.is_neurons,
        model_architecture=view.model_architecture,
        model_checksum=view.model_checksum,
        model_dtype=view.model_dtype,
        vocabulary=vocabulary_digest(store.vocabulary(view.model_id)),
        bos=opens_with_bos(view),
        text=_text_facts(view),
    )


def _text_facts(view: DictionaryView) -> TextFacts | None:
    if view.corpus is None or view.harvest is None:
        return None
    return TextFacts(
        name=view.corpus.name,
        fingerprint=view.corpus.fingerprint,
        documents=view.corpus.n_documents,
        tokens=view.corpus.n_tokens,
        read_tokens=view.harvest.n_tokens,
        read_windows=view.harvest.n_windows,
        context=view.harvest.n_ctx,
        seed=view.harvest.seed,
        settings=dict(view.harvest.settings),
    )
