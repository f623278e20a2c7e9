"""The job behind the search by meaning: a text as a vector."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack_float32
from app.worker.protocol.events import Event, Progress, TextEmbedded
from app.worker.protocol.requests import EmbedRequest
from sae_core.errors import ModelError

if TYPE_CHECKING:
    from sae_core.meaning.sentence_model import SentenceModel


def embed_text(request: EmbedRequest, _shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Embed a text; a step is the text, or loading.

    For example /embed
    with an EmbedRequest
    """
    yield Progress(done=0, total=1)
    model = _loaded(request.model.path, request.model.checksum)
    yield TextEmbedded(vector=pack_float32(model.encode([request.text])[0]))


@lru_cache(maxsize=1)
def _loaded(path: str, checksum: str) -> SentenceModel:
    """The model that was used last: some 90 MB, beside what the shelf keeps."""
    from sae_core.meaning.sentence_model import SentenceModel

    model = SentenceModel(Path(path))
    if model.checksum != checksum:
        raise ModelError(
            f"The sentence model in {path} has changed since `featurescope embed` used it: give "
            "that command again."
        )
    return model
