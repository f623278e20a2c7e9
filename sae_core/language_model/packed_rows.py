"""Short windows side by side in one row of a batch, none of which sees another.

Every window begins at position 0 of its own, and where positions begin anew the library's masks
end: what a token reads, and its activation, is what it is in a row by itself, up to rounding. So
packing saves the padding and changes no figure. An architecture that knows no such masks is found
out by trying (`isolates`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel


@dataclass(frozen=True)
class PackedRows:
    """Windows side by side.

    Attributes:
        tokens: [rows, n_ctx].
        positions: of each token in its own window, [rows, n_ctx].
        places: where each window's positions lie in the flattened rows, [windows, n_ctx]; 0 where a
            window has none.
    """

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    places: NDArray[np.int64]


def pack(tokens: NDArray[np.int64], lengths: NDArray[np.int64]) -> PackedRows:
    """Pack windows [windows, n_ctx] of those lengths > 0 [windows]: the longest first, each into
    the first row that has room."""
    n, n_ctx = tokens.shape
    places = np.zeros((n, n_ctx), dtype=np.int64)
    room: list[int] = []
    for window in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[window])
        row = next((row for row, left in enumerate(room) if left >= length), len(room))
        if row == len(room):
            room.append(n_ctx)
        begin = row * n_ctx + n_ctx - room[row]
        places[window, :length] = np.arange(begin, begin + length)
        room[row] -= length
    inside = np.arange(n_ctx) < lengths[:, None]
    packed = np.zeros(len(room) * n_ctx, dtype=np.int64)
    # What is left of a row is a window, too.
    positions = np.concatenate([np.arange(n_ctx) - (n_ctx - left) for left in room])
    packed[places[inside]] = tokens[inside]
    positions[places[inside]] = np.broadcast_to(np.arange(n_ctx), (n, n_ctx))[inside]
    shape = (len(room), n_ctx)
    return PackedRows(packed.reshape(shape), positions.clip(0).reshape(shape), places)


@torch.inference_mode()
def isolates(model: LanguageModel, hook_point: HookPoint) -> bool:
    """Whether windows in one row do not see each other there; tried on a few tokens."""
    tokens = np.arange(8, dtype=np.int64).reshape(2, 4) % model.d_vocab
    alone = model.capture(torch.from_numpy(tokens), hook_point)
    rows = pack(np.pad(tokens, ((0, 0), (0, 4))), np.array([4, 4]))
    positions = torch.from_numpy(rows.positions)
    try:
        packed = model.capture(torch.from_numpy(rows.tokens), hook_point, positions)
    except TypeError:  # it knows no positions at all
        return False
    together = packed.flatten(0, 1)[torch.from_numpy(rows.places[:, :4])]
    tolerance = 1e-4 if alone.dtype in (torch.float32, torch.float64) else 0.02
    return bool((together - alone).abs().max() <= tolerance * alone.abs().max())
