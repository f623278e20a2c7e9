"""Kept text and firings as blobs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.store.blobs.packing import Reader, Writer
from sae_core.harvest.kept_firings import KeptText


def pack_kept_text(text: KeptText) -> bytes:
    """All of it; numbers that mostly rise as what they rise by."""
    out = Writer()
    out.ints(np.diff(text.numbers, prepend=0))
    out.ints(np.diff(text.bounds))
    out.ints(np.diff(text.documents, prepend=0))
    out.ints(text.lines)
    out.ints(text.tokens)
    out.ints(text.counts)
    out.uint(len(text.names))
    for name in text.names:
        out.raw(name.encode("utf-8", "surrogatepass"))
    return out.blob(b"K")


def unpack_kept_text(blob: bytes, what: str) -> KeptText:
    """See `pack_kept_text`; `what` names it if it is damaged."""
    data = Reader(blob, b"K", what)
    numbers, lengths = np.cumsum(data.ints(np.int64)), data.ints(np.int64)
    documents, lines = np.cumsum(data.ints(np.int64)), data.ints(np.int64)
    tokens, counts = data.ints(np.uint32), data.ints(np.int64)
    try:
        names = tuple(data.raw().decode("utf-8", "surrogatepass") for _ in range(data.uint()))
    except UnicodeDecodeError:
        raise data.damaged("a name is no text") from None
    data.end()
    if not len(numbers) == len(lengths) == len(documents) == len(lines):
        raise data.damaged("its windows contradict each other")
    if not len(numbers) or (lengths < 1).any() or lengths.sum() != len(tokens):
        raise data.damaged("its windows are not those of its tokens")
    if documents.min() < 0 or documents.max() >= len(names) or (counts < 0).any():
        raise data.damaged("its documents or counts make no sense")
    if len(tokens) and tokens.max() < 1 << 16:
        tokens = tokens.astype(np.uint16)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    return KeptText(numbers, bounds, tokens, documents, lines, names, counts)


def pack_firing_block(windows: Sequence[bytes]) -> bytes:
    """The firings of consecutive windows, each compressed already."""
    out = Writer()
    out.uint(len(windows))
    for window in windows:
        out.raw(window)
    return out.blob(b"J", compress=False)


def unpack_firing_block(blob: bytes, what: str) -> list[bytes]:
    """See `pack_firing_block`."""
    data = Reader(blob, b"J", what)
    windows = [data.raw() for _ in range(data.uint())]
    data.end()
    return windows
