"""A few pools over and over: the model runs over a text once, whatever the number of epochs."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from sae_core.training.data.pools import PoolSource


class RepeatedPools:
    """The first pools of others, again in every epoch, their tokens shuffled anew each time.

    A text that is read once and trained on many times costs one pass of the model then. Tokens of
    different pools never meet in a batch's pool, unlike those of a text whose pools are drawn anew.
    """

    def __init__(self, pools: PoolSource, per_epoch: int, seed: int) -> None:
        """Repeat the first `per_epoch` of `pools`."""
        self._pools, self._per_epoch, self._seed = pools, per_epoch, seed

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
        """SHA-256 of the pools' identity and of how they are repeated."""
        facts = f"{self._pools.identity} repeated {self._per_epoch} {self._seed}"
        return hashlib.sha256(facts.encode()).hexdigest()

    def n_tokens(self, number: int) -> int:
        """Text tokens in a pool; the model is not run."""
        return self._pools.n_tokens(number % self._per_epoch)

    def pool(self, number: int) -> Tensor:
        """Activations of a pool in random order, [n_tokens, width].

        Raises:
            DiskError: a pool cannot be kept.
            TrainingError: its activations are not all finite.
        """
        epoch, part = divmod(number, self._per_epoch)
        pool = self._pools.pool(part)
        if epoch == 0:
            return pool
        order = np.random.default_rng((self._seed, number, 2)).permutation(len(pool))
        return pool[torch.from_numpy(order).to(pool.device)]
