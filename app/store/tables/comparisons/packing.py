"""The matches of all features of one dictionary in another as a blob, and strictly back."""

from __future__ import annotations

import numpy as np

from app.store.blobs.packing import Reader, Writer
from sae_core.evaluation.comparison.matches import NONE, Matches


def pack_matches(cosines: Matches | None, correlations: Matches, partners: Matches) -> bytes:
    """Best matches by both measures, and pairs one to one; values in float32."""
    out = Writer()
    out.uint(cosines is not None)
    for matches in (cosines, correlations, partners):
        if matches is not None:
            out.ints(matches.indices)
            out.floats(matches.values.astype(np.float32))
    return out.blob(b"C")


def unpack_matches(blob: bytes, n: int, what: str) -> tuple[Matches | None, Matches, Matches]:
    """The inverse of `pack_matches`, for n features.

    Raises:
        StoreError: it is damaged, or not of so many features.
    """
    data = Reader(blob, b"C", what)
    has_cosines = data.uint()
    parts = [_matches(data, n) for _ in range(2 + bool(has_cosines))]
    data.end()
    correlations, partners = parts[-2:]
    return parts[0] if has_cosines else None, correlations, partners


def _matches(data: Reader, n: int) -> Matches:
    indices, values = data.ints(np.int64), data.floats().astype(np.float64)
    if not len(indices) == len(values) == n or bool((indices < NONE).any()):
        raise data.damaged("it has another number of features")
    return Matches(indices, values)
