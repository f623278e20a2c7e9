"""The job behind monitors: their levels on texts, and monitors as the watched answers need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from app.errors import InvalidRequest
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack_float32, pack_int32
from app.worker.protocol.events import Event, Progress
from app.worker.protocol.monitors import (
    LONGEST_LEVEL_TEXT,
    LevelsRead,
    LevelsRequest,
    WatchedMonitor,
)
from app.worker.protocol.requests import DictionaryRef

if TYPE_CHECKING:
    from sae_core.audit.monitors.levels import LevelReader
    from sae_core.dictionaries.dictionary import Dictionary
    from sae_core.language_model.model import LanguageModel

_AT_ONCE = 8  # texts that make one step of work


def read_texts_levels(request: LevelsRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Read texts with monitors; a step is a few of them, or loading.

    For example /levels
    with a LevelsRequest
    """
    from sae_core.audit.monitors.levels import read_levels, text_pieces

    for number, text in enumerate(request.texts, 1):
        if len(text) > LONGEST_LEVEL_TEXT:
            raise InvalidRequest(
                f"Text {number} has {len(text):,} characters; at most {LONGEST_LEVEL_TEXT:,} are "
                "read.",
                "texts",
            )
    refs = [monitor.dictionary for monitor in request.monitors]
    dictionaries = yield from shelf.dictionaries(request.model, refs)
    model = shelf.model(request.model)
    readers = level_readers(model, dictionaries, request.monitors)
    for begin in range(0, len(request.texts), _AT_ONCE):
        yield Progress(done=begin, total=len(request.texts))
        pieces = [text_pieces(model, text) for text in request.texts[begin : begin + _AT_ONCE]]
        for number, read in enumerate(read_levels(model, readers, pieces), begin):
            yield LevelsRead(
                index=number,
                tokens=pack_int32(read.tokens),
                is_text=read.is_text.astype("i1").tobytes(),
                levels=pack_float32(read.levels),
                level=read.level,
            )


def level_readers(
    model: LanguageModel,
    dictionaries: Mapping[DictionaryRef, Dictionary],
    monitors: Sequence[WatchedMonitor],
) -> tuple[LevelReader, ...]:
    """Monitors on their model.

    Raises:
        MonitorError: one reads neither features nor a direction, or does not fit.
        PromptError: a dictionary has no such feature.
    """
    from sae_core.audit.monitors.levels import LevelReader
    from sae_core.audit.monitors.monitor import LevelPooling, Monitor

    return tuple(
        LevelReader(
            model,
            dictionaries[own.dictionary],
            Monitor(
                tuple((member.feature, member.weight) for member in own.members),
                own.direction,
                own.offset,
                LevelPooling(own.pooling),
            ),
        )
        for own in monitors
    )
