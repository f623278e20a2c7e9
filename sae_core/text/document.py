"""A document, and how one that is too long falls into several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

HELD_OUT_ONE_IN = 50
LONGEST = 1 << 22  # characters: about a million tokens, some hundred MB while they are encoded
_SEAM = 1 << 16


@dataclass(frozen=True)
class Document:
    """One text, with the name that pages show it under."""

    name: str
    text: str

    @property
    def held_out(self) -> bool:
        """Whether no training may see this document: one in fifty, by the hash of its text.

        By text and not by name, so that the same file under another name or in another Python
        version stays on its side of the split.
        """
        digest = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def cut(text: str) -> Iterator[str]:
    """A text in pieces of at most LONGEST characters, cut after a line or word where there is one.

    A text that is too long to encode at once becomes several documents, which add up to it.
    """
    begin = 0
    while len(text) - begin > LONGEST:
        end = seam(text, begin, begin + LONGEST)
        yield text[begin:end]
        begin = end
    yield text[begin:]


def seam(text: str, begin: int, end: int) -> int:
    """The last place in (begin, end] behind a newline, else behind a blank, else `end` itself."""
    for mark in ("\n", " "):
        if (place := text.rfind(mark, max(begin, end - _SEAM), end)) >= 0:
            return place + 1
    return end


def numbered(name: str, parts: Iterable[str]) -> Iterator[Document]:
    """Documents called `name#n`, n from 1; an only part is called `name`."""
    first: str | None = None
    n = 0
    for n, part in enumerate(parts, start=1):
        if n == 1:
            first = part
            continue
        if first is not None:
            yield Document(f"{name}#1", first)
            first = None
        yield Document(f"{name}#{n}", part)
    if first is not None:
        yield Document(name, first)
