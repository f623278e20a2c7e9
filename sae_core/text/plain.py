"""Plain text, streamed: a file is one document, or one for each part between separating lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import IO

from sae_core.errors import CorpusError
from sae_core.text.document import LONGEST, Document, numbered, seam

SEPARATOR = "<|endoftext|>"
_SEPARATION = re.compile(rf"^{re.escape(SEPARATOR)}[ \t]*\r?\n?", re.MULTILINE)
_CHUNK = 1 << 20
_SNIFFED = 1 << 13
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def plain_documents(name: str, stream: IO[bytes], separated: bool) -> Iterator[Document]:
    """The documents of a text file, called `name`, or `name#n` where there are several.

    Bytes that are not UTF-8 become U+FFFD. A part of more than LONGEST characters is several
    documents.

    Args:
        name: what the file is called.
        stream: its bytes.
        separated: whether lines that begin with SEPARATOR end a document.

    Raises:
        CorpusError: these bytes are no text.
    """
    return numbered(name, _parts(_decoded(name, stream), separated))


def _decoded(name: str, stream: IO[bytes]) -> Iterator[str]:
    """The text of a file in chunks, once its beginning looks like text."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    first = True
    while raw := stream.read(_CHUNK):
        if first:
            _check(name, raw[:_SNIFFED])
            first = False
        yield decoder.decode(raw)
    yield decoder.decode(b"", final=True)


def _check(name: str, head: bytes) -> None:
    """Refuse what begins like UTF-16 or like binary data."""
    if head.startswith(_WIDE):
        raise CorpusError(
            f"{name} is text in UTF-16: convert it to UTF-8, as `iconv -f UTF-16 -t UTF-8` does."
        )
    if b"\0" in head:
        raise CorpusError(
            f"{name} is no text but binary data: give UTF-8 text, JSONL, Parquet, Arrow, or a "
            "token array that ends in .npy or .bin."
        )


def _parts(chunks: Iterable[str], separated: bool) -> Iterator[str]:
    """The text between separators, never more than a chunk and LONGEST characters at a time."""
    text, searched = "", 0
    for chunk in chunks:
        # Parts whose end is known go out; `searched` is where the last line begins.
        text, begin = text + chunk, 0
        if separated:
            for match in _SEPARATION.finditer(text, searched):
                # Its line may go on, or end, in the next chunk.
                if match.end() == len(text) and not match[0].endswith("\n"):
                    break
                yield text[begin : match.start()]
                begin = match.end()
        text = text[begin:]
        while len(text) > LONGEST:
            end = seam(text, 0, LONGEST)
            yield text[:end]
            text = text[end:]
        searched = text.rfind("\n") + 1
    if separated:
        yield from _SEPARATION.split(text)
    else:
        yield text
