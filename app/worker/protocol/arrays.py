"""Arrays as the bytes of a message, and back: little-endian int32 or float32, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.worker.protocol.events import ContextDone
from sae_core.harvest.records import ContextEffect

N_PREDICTIONS = 5


def pack_int32(values: NDArray[Any]) -> bytes:
    """Integers of any shape as bytes."""
    return values.astype("<i4").tobytes()


def pack_float32(values: NDArray[Any]) -> bytes:
    """Numbers of any shape as bytes."""
    return values.astype("<f4").tobytes()


def unpack_int32(packed: bytes) -> NDArray[np.int32]:
    """The integers in a message, int32 [n].

    Raises:
        ValueError: the bytes are no whole number of integers.
    """
    return np.frombuffer(packed, "<i4").astype(np.int32)


def unpack_float32(packed: bytes) -> NDArray[np.float32]:
    """The numbers in a message, float32 [n].

    Raises:
        ValueError: the bytes are no whole number of numbers.
    """
    return np.frombuffer(packed, "<f4").astype(np.float32)


def pack(index: int, effect: ContextEffect) -> ContextDone:
    """The message about context `index` of a request."""
    return ContextDone(
        index=index,
        positions=effect.positions.astype("<u2").tobytes(),
        loss_change=pack_float32(effect.loss_change),
        raised_ids=pack_int32(effect.raised_ids),
        raised=pack_float32(effect.raised),
        lowered_ids=pack_int32(effect.lowered_ids),
        lowered=pack_float32(effect.lowered),
    )


def unpack(message: ContextDone) -> ContextEffect:
    """The effect in a message, bit for bit.

    Raises:
        ValueError: the columns are not equally long.
    """
    positions = np.frombuffer(message.positions, "<u2").astype(np.uint16)
    n = len(positions)
    loss_change = unpack_float32(message.loss_change)
    if len(loss_change) != n:
        raise ValueError(f"{n} positions, but {len(loss_change)} loss changes")
    shape = (n, N_PREDICTIONS)
    return ContextEffect(
        positions=positions,
        loss_change=loss_change,
        raised_ids=unpack_int32(message.raised_ids).reshape(shape),
        raised=unpack_float32(message.raised).reshape(shape),
        lowered_ids=unpack_int32(message.lowered_ids).reshape(shape),
        lowered=unpack_float32(message.lowered).reshape(shape),
    )
