"""Batches of activations by number, cut from pools; memory stays that of one pool."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from sae_core.errors import TrainingError
from sae_core.training.data.pools import PoolSource

_ROWS = 1 << 13


class ActivationStream(Protocol):
    """Training batches by number, and what a trainer needs to know of their activations.

    A batch's rows hold what is read and, for a transcoder, beside it what is to be written.

    Attributes:
        d_in: width of what is read.
        written: moments of what is to be written; None: what is read.
        identity: hash of model, hook points, text, order and batch size.
        device: where batches lie.
        mean: mean of a fixed first sample of activations, float32 [d_in].
        mean_square_norm: E ||x||^2 over that sample.
        mean_square_deviation: E ||x - mean||^2 over that sample.
    """

    @property
    def d_in(self) -> int: ...  # noqa: D102
    @property
    def written(self) -> Moments | None: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    @property
    def mean(self) -> Tensor: ...  # noqa: D102
    @property
    def mean_square_norm(self) -> float: ...  # noqa: D102
    @property
    def mean_square_deviation(self) -> float: ...  # noqa: D102

    def batch(self, number: int) -> Tensor:
        """Batch 0, 1, 2 and so on, float32 [batch, width]; a function of its number alone."""


@dataclass(frozen=True)
class Moments:
    """Moments of a sample: E x [d] in float64, E ||x||^2, E ||x - mean||^2."""

    mean: Tensor
    square_norm: float
    square_deviation: float


class PoolStream:
    """Pools end to end, cut into batches of one size.

    Batch n holds tokens n * size to (n + 1) * size of the endless sequence of pools, whatever the
    pools' borders and the epochs' are: no token is dropped, and each is seen once an epoch. Batches
    in rising order read every pool once; another order costs reading pools again.

    Memory: one pool and one batch. A pool is let go before the next is read.
    """

    def __init__(self, pools: PoolSource, size: int) -> None:
        """Cut pools into batches of `size` tokens.

        Raises:
            TrainingError: `size` is below 1.
        """
        if size < 1:
            raise TrainingError(f"A batch of {size} tokens: give a positive number.")
        self._pools, self._size = pools, size
        self._starts = [0]  # of the pools known so far and the next, in tokens
        self._held: tuple[int, Tensor] | None = None

    @property
    def d_in(self) -> int:
        """Width of what is read."""
        return self._pools.widths[0]

    @property
    def device(self) -> torch.device:
        """Where batches lie."""
        return self._pools.device

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the pools' identity and the batch size."""
        return hashlib.sha256(f"{self._pools.identity} {self._size}".encode()).hexdigest()

    @property
    def mean(self) -> Tensor:
        """Mean activation of the first pool, float32 [d_in]."""
        return self._moments[0].mean.float()

    @property
    def mean_square_norm(self) -> float:
        """E ||x||^2 over the first pool."""
        return self._moments[0].square_norm

    @property
    def mean_square_deviation(self) -> float:
        """E ||x - mean||^2 over the first pool."""
        return self._moments[0].square_deviation

    @property
    def written(self) -> Moments | None:
        """Moments of what stands beside it, over the first pool; None: nothing does."""
        return self._moments[1] if len(self._moments) > 1 else None

    def batch(self, number: int) -> Tensor:
        """Batch 0, 1, 2 and so on, float32 [size, width]; a function of its number alone."""
        begin, end = number * self._size, (number + 1) * self._size
        # A batch may begin in one pool and end in the next.
        parts: list[Tensor] = []
        while begin < end:
            pool = self._pool_at(begin)
            first = begin - self._starts[pool]
            part = self._read(pool)[first : first + end - begin]
            parts.append(part.float())
            begin += len(part)
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _pool_at(self, token: int) -> int:
        """Number of the pool that holds a token of the endless sequence."""
        while self._starts[-1] <= token:
            number = len(self._starts) - 1
            n = self._pools.n_tokens(number)
            if n == 0:
                raise TrainingError("The training text holds special tokens only: give more text.")
            self._starts.append(self._starts[-1] + n)
        return bisect_right(self._starts, token) - 1

    def _read(self, number: int) -> Tensor:
        """A pool, [n_tokens, width]; the one read last is kept."""
        if self._held is None or self._held[0] != number:
            self._held = None  # before the next is made: one pool at a time
            self._held = number, self._pools.pool(number)
        return self._held[1]

    @cached_property
    def _moments(self) -> list[Moments]:
        """Those of the first pool, at each hook point."""
        return [_moments(x) for x in torch.split(self._read(0), list(self._pools.widths), dim=1)]


def _moments(activations: Tensor) -> Moments:
    """Moments of activations [n, d]."""
    total = torch.zeros(activations.shape[1], dtype=torch.float64, device=activations.device)
    n, squares = len(activations), 0.0
    for part in torch.split(activations, _ROWS):
        x = part.double()
        total = total + x.sum(dim=0)
        squares += float(x.square().sum())
    mean = total / n
    return Moments(mean, squares / n, squares / n - float(mean.square().sum()))
