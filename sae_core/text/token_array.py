"""Ready-made token arrays: ids end to end, as training scripts keep them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import CorpusError
from sae_core.text.document import HELD_OUT_ONE_IN
from sae_core.text.token_folder import TokenFolder, read_token_folder, token_folder

SUFFIXES = frozenset({".npy", ".bin"})
LONGEST = 1 << 20  # tokens
_CHUNK = 1 << 20

Ids = NDArray[np.integer]


def encoded_array(
    path: Path, d_vocab: int, ends: frozenset[int], cache: Path, n_tokens: int | None
) -> TokenFolder:
    """The documents of a token array, or of its beginning.

    Documents end where one of `ends` stands, or a row of a two-dimensional array; what separates
    them is no part of them. One longer than LONGEST tokens is several.

    Args:
        path: a `.npy` file of whole numbers, or a `.bin` file of nothing but them: uint16 where the
            vocabulary has up to 65,536 tokens, else uint32.
        d_vocab: tokens that the model knows.
        ends: ids that end or open a text.
        cache: folder of encoded corpora.
        n_tokens: read no further than the document in which so many are reached; None: everything.

    Raises:
        CorpusError: the file is missing, damaged, empty, or made for another vocabulary.
    """
    rows = _open(path, d_vocab)
    facts = f"{path.absolute()} {d_vocab} {sorted(ends)} {n_tokens}"
    folder = cache / hashlib.sha256(facts.encode()).hexdigest()[:24]
    stored = read_token_folder(folder)

    def documents() -> Iterator[Ids]:
        return _documents(path, rows, d_vocab, ends)

    if stored is None or _fingerprint(path.name, documents(), n_tokens) != stored.fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        _write(path, documents, folder, d_vocab, n_tokens)
        stored = read_token_folder(folder)
    assert stored is not None
    return stored


def _open(path: Path, d_vocab: int) -> Ids:
    """The array on disk, [n] or [rows, n]."""
    try:
        if path.suffix == ".bin":
            dtype = np.dtype(np.uint16 if d_vocab <= 1 << 16 else np.uint32)
            if path.stat().st_size % dtype.itemsize:
                raise CorpusError(
                    f"{path} has {path.stat().st_size:,} bytes, no multiple of the "
                    f"{dtype.itemsize} that a token of {d_vocab:,} takes: copy it again, or save "
                    "it as .npy, which says its own type."
                )
            array: Ids = (
                np.memmap(path, dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype)
            )
        else:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorpusError(
            f"{path} cannot be read as a token array ({error}): save it with numpy.save."
        ) from error
    if not np.issubdtype(array.dtype, np.integer) or array.ndim not in (1, 2):
        raise CorpusError(
            f"{path} holds {array.dtype} of shape {list(array.shape)}: a token array is made of "
            "whole numbers, [tokens] or [rows, tokens]."
        )
    return array


def _documents(path: Path, array: Ids, d_vocab: int, ends: frozenset[int]) -> Iterator[Ids]:
    """Documents without what separates them; no empty ones, and each only once."""
    seen: set[bytes] = set()
    separators = np.array(sorted(ends), dtype=np.int64)
    rows = array[None] if array.ndim == 1 else array
    for row in rows:
        for document in _of_row(path, row, d_vocab, separators):
            digest = hashlib.sha256(document.astype("<u4").tobytes()).digest()
            if len(document) and digest not in seen:
                seen.add(digest)
                yield document


def _of_row(path: Path, row: Ids, d_vocab: int, separators: NDArray[np.int64]) -> Iterator[Ids]:
    """The documents of one row of the array, between separators; also empty ones."""
    kept = np.zeros(0, dtype=np.int64)
    for begin in range(0, len(row), _CHUNK):
        chunk = np.asarray(row[begin : begin + _CHUNK]).astype(np.int64)
        _check(path, chunk, d_vocab)
        kept = np.concatenate([kept, chunk])
        # Whole documents go out; the begun one waits for the next chunk, unless it is too long.
        places = np.flatnonzero(np.isin(kept, separators))
        start = 0
        for place in places.tolist():
            yield from _cut(kept[start:place])
            start = place + 1
        kept = kept[start:]
        while len(kept) > LONGEST:
            yield kept[:LONGEST]
            kept = kept[LONGEST:]
    yield from _cut(kept)


def _cut(document: Ids) -> Iterator[Ids]:
    """A document in pieces of at most LONGEST tokens."""
    for begin in range(0, len(document), LONGEST):
        yield document[begin : begin + LONGEST]


def _check(path: Path, ids: Ids, d_vocab: int) -> None:
    """Refuse ids that the model does not know."""
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= d_vocab:
        raise CorpusError(
            f"{path} holds the token {low if low < 0 else high}, but the model knows {d_vocab:,}: "
            "it was made with another tokenizer, or holds numbers of another size."
        )


def _limited(documents: Iterator[Ids], n_tokens: int | None) -> Iterator[Ids]:
    """The documents up to the one in which `n_tokens` tokens are reached."""
    total = 0
    for document in documents:
        yield document
        total += len(document)
        if n_tokens is not None and total >= n_tokens:
            return


def _digest(name: str, number: int, document: Ids) -> bytes:
    """SHA-256 of one document with its name and number."""
    raw = document.astype("<u4").tobytes()
    return hashlib.sha256(f"{name}#{number} {len(document)} ".encode() + raw).digest()


def _fingerprint(name: str, documents: Iterator[Ids], n_tokens: int | None) -> str:
    """SHA-256 over all documents as far as they are read."""
    total = hashlib.sha256()
    for number, document in enumerate(_limited(documents, n_tokens), start=1):
        total.update(_digest(name, number, document))
    return total.hexdigest()


def _write(
    path: Path,
    documents: Callable[[], Iterator[Ids]],
    folder: Path,
    d_vocab: int,
    n_tokens: int | None,
) -> None:
    """Write the documents into a folder, each with whether it is held out, by its content."""
    total = hashlib.sha256()
    with token_folder(folder, np.uint16 if d_vocab <= 1 << 16 else np.uint32) as writer:
        for number, document in enumerate(_limited(documents(), n_tokens), start=1):
            digest = hashlib.sha256(document.astype("<u4").tobytes()).digest()
            held_out = int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0
            writer.add(f"{path.name}#{number}", document.astype(np.uint32), held_out)
            total.update(_digest(path.name, number, document))
        if writer.n_tokens == 0:
            raise CorpusError(f"The token array {path} holds no token of text.")
        writer.fingerprint = total.hexdigest()
