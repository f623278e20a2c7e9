"""Many vectors, searched fast: signs, then 8 bits, then exactly. NumPy alone.

1. `MOST_BY_SIGN` vectors whose signs agree most with the query's: one bit a dimension, counted with
   XOR and a population count.
2. Of these the `MOST_BY_CODE` with the largest product with the 8-bit codes.
3. Of these the exact cosines, in float32.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.files.atomic import atomic_folder

MOST_BY_SIGN = 8000
MOST_BY_CODE = 400
_CODES = 127.0
_BLOCK = 65_536  # vectors whose counts fit the processor's cache


@dataclass(frozen=True)
class VectorHit:
    """A vector near the query.

    Attributes:
        row: which one.
        cosine: with the query, exact.
    """

    row: int
    cosine: float


class SavedTexts:
    """Texts in files, of which only those are read that are asked for: there may be millions.

    Args:
        characters: of all of them in UTF-8, uint8 [sum of lengths].
        ends: where each ends, int64 [n].
    """

    def __init__(self, characters: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._characters = characters
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> str:
        begin = 0 if row == 0 else int(self._ends[row - 1])
        written = self._characters[begin : int(self._ends[row])].tobytes()
        return written.decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))


@dataclass(frozen=True)
class SavedVectors:
    """Vectors in a folder, memory-mapped.

    Attributes:
        about: what was written with them.
        indices: the feature of each, int64 [n].
        texts: the text of each.
        signs: one bit a dimension, uint64 [d / 64, n].
        codes: 8 bits a dimension, int8 [n, d].
        vectors: float32 [n, d], of length 1.
    """

    about: dict[str, Any]
    indices: NDArray[np.int64]
    texts: SavedTexts
    signs: NDArray[np.uint64]
    codes: NDArray[np.int8]
    vectors: NDArray[np.float32]

    def nearest(self, query: NDArray[np.float32], most: int) -> list[VectorHit]:
        """The vectors with the largest cosine, at most `most`; `query` has length 1."""
        rows = np.arange(len(self.vectors))
        if len(rows) > MOST_BY_SIGN:
            rows = _fewest(self._different(query), MOST_BY_SIGN)
        if len(rows) > MOST_BY_CODE:
            near = self.codes[rows].astype(np.float32) @ query
            rows = rows[np.argpartition(-near, MOST_BY_CODE)[:MOST_BY_CODE]]
        exact = self.vectors[rows] @ query
        order = np.lexsort((rows, -exact))[:most]
        return [VectorHit(int(rows[n]), float(exact[n])) for n in order]

    def _different(self, query: NDArray[np.float32]) -> NDArray[np.uint16]:
        """How many signs of each vector are not the query's, uint16 [n]."""
        words = _signs(query[None])[:, 0]
        different = np.zeros(len(self.vectors), np.uint16)
        for start in range(0, len(different), _BLOCK):
            block = slice(start, start + _BLOCK)
            for signs, word in zip(self.signs, words, strict=True):
                different[block] += np.bitwise_count(signs[block] ^ word)
        return different


def _fewest(counts: NDArray[np.uint16], most: int) -> NDArray[np.intp]:
    """Where the smallest counts are, ascending by place; of equal ones the first."""
    limit = int(np.searchsorted(np.cumsum(np.bincount(counts)), most))
    below = np.flatnonzero(counts < limit)
    return np.sort(np.r_[below, np.flatnonzero(counts == limit)[: most - len(below)]])


def save_vectors(
    folder: Path,
    indices: Sequence[int],
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    about: dict[str, Any],
) -> None:
    """Write a folder, whole or not at all."""
    largest = np.abs(vectors).max(axis=0, keepdims=True, initial=1e-12)
    codes = np.rint(vectors / largest.max() * _CODES).astype(np.int8)
    with atomic_folder(folder) as draft:
        np.save(draft / "indices.npy", np.asarray(indices, dtype=np.int64))
        np.save(draft / "signs.npy", _signs(vectors))
        np.save(draft / "codes.npy", codes)
        np.save(draft / "vectors.npy", vectors.astype(np.float32))
        written = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = np.cumsum([len(text) for text in written], dtype=np.int64)
        np.save(draft / "texts.npy", np.frombuffer(b"".join(written), dtype=np.uint8))
        np.save(draft / "ends.npy", ends)
        (draft / "about.json").write_text(json.dumps(about))
        shutil.rmtree(folder, ignore_errors=True)


def open_vectors(folder: Path) -> SavedVectors | None:
    """What was saved; None: nothing was, or it is no longer whole."""
    try:
        opened = folder.stat().st_ino
        arrays = [
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("indices", "signs", "codes", "vectors", "ends", "texts")
        ]
        about = json.loads((folder / "about.json").read_text())
        replaced = folder.stat().st_ino != opened
    except (OSError, ValueError):
        return None
    if replaced:  # vectors of one embedding must not stand beside the texts of another
        return open_vectors(folder)
    indices, signs, codes, vectors, ends, characters = arrays
    if len({len(indices), signs.shape[-1], len(codes), len(vectors), len(ends)}) != 1 or (
        len(ends) and ends[-1] != len(characters)
    ):
        return None
    return SavedVectors(about, indices, SavedTexts(characters, ends), signs, codes, vectors)


def _signs(vectors: NDArray[np.float32]) -> NDArray[np.uint64]:
    packed = np.packbits(vectors > 0, axis=1)
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(np.ascontiguousarray(padded).view(np.uint64).T)
