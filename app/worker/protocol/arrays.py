"""ContextEffect to and from the message that carries it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.worker.protocol.events import ContextDone
from sae_core.harvest.records import ContextEffect

N_PREDICTIONS = 5


def pack(index: int, effect: ContextEffect) -> ContextDone:
    """The message about context `index` of a request."""
    return ContextDone(
        index=index,
        positions=effect.positions.astype("<u2").tobytes(),
        loss_change=effect.loss_change.astype("<f4").tobytes(),
        raised_ids=effect.raised_ids.astype("<i4").tobytes(),
        raised=effect.raised.astype("<f4").tobytes(),
        lowered_ids=effect.lowered_ids.astype("<i4").tobytes(),
        lowered=effect.lowered.astype("<f4").tobytes(),
    )


def unpack(message: ContextDone) -> ContextEffect:
    """The effect in a message, bit for bit.

    Raises:
        ValueError: the columns are not equally long.
    """
    positions = np.frombuffer(message.positions, "<u2").astype(np.uint16)
    n = len(positions)
    loss_change = np.frombuffer(message.loss_change, "<f4").astype(np.float32)
    if len(loss_change) != n:
        raise ValueError(f"{n} positions, but {len(loss_change)} loss changes")
    return ContextEffect(
        positions=positions,
        loss_change=loss_change,
        raised_ids=_ids(message.raised_ids, n),
        raised=_logits(message.raised, n),
        lowered_ids=_ids(message.lowered_ids, n),
        lowered=_logits(message.lowered, n),
    )


def _ids(packed: bytes, n: int) -> NDArray[np.int32]:
    return np.frombuffer(packed, "<i4").astype(np.int32).reshape(n, N_PREDICTIONS)


def _logits(packed: bytes, n: int) -> NDArray[np.float32]:
    return np.frombuffer(packed, "<f4").astype(np.float32).reshape(n, N_PREDICTIONS)
