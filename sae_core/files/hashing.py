"""A seeded hash of integers, for samples that depend on their elements and not on the order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _finish(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The last steps of SplitMix64, which spread every bit of z over the result."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def mix(seed: int, *parts: NDArray[np.int64] | int) -> NDArray[np.uint64]:
    """The hash of the seed and of the parts, element by element, uniform over 64 bits.

    SplitMix64 (Steele, Lea, Flood 2014), chained over the parts.
    """
    with np.errstate(over="ignore"):
        state = _finish(np.asarray([seed], dtype=np.int64).astype(np.uint64) + _GOLDEN)
        for part in parts:
            value = np.atleast_1d(np.asarray(part, dtype=np.int64)).astype(np.uint64)
            state = _finish((state ^ value) + _GOLDEN)
    return state
