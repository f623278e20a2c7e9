"""Pools kept on disk, so that many trainings share one pass of the model."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sae_core.errors import DiskError
from sae_core.files.atomic import atomic_file
from sae_core.training.data.pools import PoolSource


class CachedPools:
    """Pools that are read from a folder where they were kept before, and made and kept otherwise.

    Pools hold what the folder holds, bit for bit: they are rounded to their dtype when they are
    made, cached or not. A pool is one file, `FOLDER/IDENTITY/NUMBER.npy`, that appears whole or not
    at all; so any number of trainings may share a folder, at once too, and each may be killed at
    any time. A file that is not of the pool's size and kind is made again. Files are memory-mapped
    and read as they are needed; disk: n_tokens * width * 2 bytes in bfloat16 for each pool that was
    asked for (5.1 GB for 5 M tokens at width 512). Later epochs are other shuffles, kept as well.

    A full disk stops the training with a sentence: its checkpoint holds, and without the cache it
    goes on with the same batches.
    """

    def __init__(self, pools: PoolSource, folder: Path) -> None:
        """Keep the pools of `pools` under `folder`, which is made where it is missing."""
        self._pools = pools
        self._folder = folder / pools.identity[:24]

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the activations of a token, side by side."""
        return self._pools.widths

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of a pool."""
        return self._pools.dtype

    @property
    def device(self) -> torch.device:
        """Where pools lie."""
        return self._pools.device

    @property
    def identity(self) -> str:
        """The identity of the pools; whether they are kept changes nothing."""
        return self._pools.identity

    def n_tokens(self, number: int) -> int:
        """Text tokens in a pool; the model is not run."""
        return self._pools.n_tokens(number)

    def pool(self, number: int) -> Tensor:
        """Activations of a pool in random order, [n_tokens, width].

        Raises:
            DiskError: the pool cannot be written to the folder.
            TrainingError: the pool's activations are not all finite.
        """
        path = self._folder / f"{number:06}.npy"
        kept = self._read(path, self.n_tokens(number))
        if kept is not None:
            return kept.to(self.device)
        pool = self._pools.pool(number)
        try:
            with atomic_file(path) as draft, draft.open("wb") as file:
                np.save(file, pool.cpu().view(torch.uint8).numpy())
        except DiskError as error:
            raise DiskError(f"{error} Without a cache the batches are the same.") from error
        return pool

    def _read(self, path: Path, n_tokens: int) -> Tensor | None:
        """The file's pool, [n_tokens, width], memory-mapped; None where it is missing or broken."""
        with suppress(OSError, ValueError, EOFError):
            # Mapped copy-on-write, since torch warns of arrays that are read-only.
            stored = np.load(path, mmap_mode="c", allow_pickle=False)
            if stored.dtype == np.uint8 and stored.shape == (n_tokens, self._row_bytes):
                return torch.from_numpy(stored).view(self.dtype)
        return None

    @property
    def _row_bytes(self) -> int:
        return sum(self.widths) * self.dtype.itemsize
