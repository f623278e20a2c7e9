"""How much a packed file may unpack to: a small one that fills the memory is nobody's text."""

from __future__ import annotations

ALWAYS = 16 << 20  # bytes
RATIO = 100  # JSON with many repetitions packs to a thirtieth


def most_unpacked(packed: int) -> int:
    """Bytes that a file of `packed` bytes may unpack to."""
    return ALWAYS + RATIO * packed
