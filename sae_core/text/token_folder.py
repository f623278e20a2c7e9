"""The tokens of documents on disk: written one after another, read without loading them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from sae_core.files.atomic import atomic_folder

Ids = NDArray[np.unsignedinteger]
_HEAD, _TOKENS, _OFFSETS = "corpus.json", "tokens.npy", "offsets.npy"


@dataclass(frozen=True)
class TokenFolder:
    """What a folder of tokens holds.

    Attributes:
        fingerprint: SHA-256 of the documents' names and contents, without the tokenizer.
        tokens: ids, [n_tokens], unsigned, on disk.
        offsets: document d is `tokens[offsets[d]:offsets[d + 1]]`, [n_documents + 1].
        names: the documents' names.
        held_out: whether training must not see the document, [n_documents].
    """

    fingerprint: str
    tokens: Ids
    offsets: NDArray[np.int64]
    names: tuple[str, ...]
    held_out: NDArray[np.bool_]


class TokenWriter:
    """Fills a folder, document after document; only names and lengths stay in memory.

    Attributes:
        fingerprint: of the documents; the caller sets it before the folder is finished.
        n_tokens: how many tokens were written so far.
    """

    def __init__(self, stream: IO[bytes], dtype: type[np.unsignedinteger]) -> None:
        self._stream, self._dtype = stream, np.dtype(dtype)
        self.fingerprint = ""
        self._lengths: list[int] = []
        self._names: list[str] = []
        self._held_out: list[bool] = []
        self.n_tokens = 0
        self._header()

    def _header(self) -> None:
        """Write NumPy's header; it has room for any number of tokens."""
        facts = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.n_tokens,),
        }
        np.lib.format.write_array_header_1_0(self._stream, facts)

    def add(self, name: str, ids: Ids | list[int], held_out: bool) -> None:
        """Append a document: its name, its token ids, and whether training must not see it."""
        self._stream.write(np.asarray(ids, dtype=self._dtype).tobytes())
        self._names.append(name)
        self._lengths.append(len(ids))
        self._held_out.append(held_out)
        self.n_tokens += len(ids)

    def finish(self, folder: Path) -> None:
        """Write the final header of the tokens, the offsets, and the facts about documents."""
        self._stream.seek(0)
        self._header()
        offsets = np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
        np.save(folder / _OFFSETS, offsets)
        head = {
            "fingerprint": self.fingerprint,
            "names": self._names,
            "held_out": self._held_out,
        }
        (folder / _HEAD).write_text(json.dumps(head))


@contextmanager
def token_folder(folder: Path, dtype: type[np.unsignedinteger]) -> Iterator[TokenWriter]:
    """A folder to fill, which appears whole or not at all."""
    with atomic_folder(folder) as draft, (draft / _TOKENS).open("wb") as stream:
        writer = TokenWriter(stream, dtype)
        yield writer
        writer.finish(draft)


def read_token_folder(folder: Path) -> TokenFolder | None:
    """What was written to a folder; None where nothing was, or not by this version."""
    try:
        head = json.loads((folder / _HEAD).read_text())
        return TokenFolder(
            fingerprint=head["fingerprint"],
            tokens=np.load(folder / _TOKENS, mmap_mode="r"),
            offsets=np.load(folder / _OFFSETS),
            names=tuple(head["names"]),
            held_out=np.array(head["held_out"], dtype=bool),
        )
    except (OSError, ValueError, KeyError):
        return None
