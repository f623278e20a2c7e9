"""What a request needs, loaded step by step."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING

from app.worker.process.shelf import Shelf
from app.worker.protocol.events import Progress
from app.worker.protocol.requests import DictionaryRef, WorkRequest

if TYPE_CHECKING:
    from sae_core.dictionaries.dictionary import Dictionary


def load_dictionaries(
    request: WorkRequest, shelf: Shelf, refs: Iterable[DictionaryRef]
) -> Generator[Progress, None, dict[DictionaryRef, Dictionary]]:
    """The model of a request and dictionaries of it; whatever has to be read is a step of its own.

    Raises:
        ModelError: the model cannot be loaded, or is not the one that was asked for.
        CheckpointError: nor can a dictionary.
    """
    shelf.model(request.model)
    loaded: dict[DictionaryRef, Dictionary] = {}
    for ref in dict.fromkeys(refs):
        if not shelf.holds(request.model, ref):
            yield Progress(done=0, total=0)
        loaded[ref] = shelf.dictionary(request.model, ref)
    return loaded
