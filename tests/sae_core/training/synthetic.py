"""Activations made up for tests: sparse sums of random directions, off centre."""

from __future__ import annotations

import torch
from torch import Tensor

from sae_core.training.data.stream import Moments


class SyntheticStream:
    """Batch n is drawn with seed n; what it holds between batches is fixed."""

    device = torch.device("cpu")
    written: Moments | None = None

    def __init__(self, d_in: int = 16, size: int = 64, seed: int = 0, scale: float = 3.0) -> None:
        self.d_in, self.size, self.scale = d_in, size, scale
        self.identity = f"synthetic {d_in} {size} {seed} {scale}"
        draw = torch.Generator().manual_seed(seed)
        self.directions = torch.nn.functional.normalize(
            torch.randn(3 * d_in, d_in, generator=draw), dim=-1
        )
        self.centre = torch.randn(d_in, generator=draw)
        sample = torch.cat([self.batch(n) for n in range(8)])
        self.mean = sample.mean(dim=0)
        self.mean_square_norm = float(sample.pow(2).sum(dim=-1).mean())
        self.mean_square_deviation = float((sample - self.mean).pow(2).sum(dim=-1).mean())

    def batch(self, number: int) -> Tensor:
        draw = torch.Generator().manual_seed(number)
        shape = (self.size, len(self.directions))
        acts = torch.rand(shape, generator=draw) * (torch.rand(shape, generator=draw) < 0.08)
        return self.scale * (acts @ self.directions + 0.05 * self.centre)
