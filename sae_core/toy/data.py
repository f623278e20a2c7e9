"""Toy models of superposition: data whose true directions are known.

After Elhage et al. 2022, "Toy Models of Superposition", and Sharkey et al. 2022, "Taking features
out of superposition with sparse autoencoders".
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sae_core.errors import TrainingError

MATCHED = 0.9


@dataclass(frozen=True)
class ToyConfig:
    """What toy data consists of.

    Attributes:
        directions: true directions, unit vectors drawn uniformly.
        dimensions: of the space they share; fewer than the directions.
        fewest: active directions in a sample, at least.
        most: active directions in a sample, at most.
        strength: mean of an active direction's coefficient, which is normal and drawn again where
            it is not above 0.
        spread: standard deviation of that coefficient.
        noise: standard deviation of what is added to each coordinate.
        samples: number of samples.
        seed: what directions, coefficients and noise are made from.
    """

    directions: int = 32
    dimensions: int = 8
    fewest: int = 2
    most: int = 4
    strength: float = 1.5
    spread: float = 0.8
    noise: float = 0.05
    samples: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.directions, self.dimensions, self.samples, self.fewest) < 1:
            raise TrainingError("Directions, dimensions, samples and active ones start at 1.")
        if not self.fewest <= self.most <= self.directions:
            raise TrainingError(
                f"{self.fewest} to {self.most} active of {self.directions} directions cannot be."
            )
        if self.strength <= 0 or self.spread < 0 or self.noise < 0:
            raise TrainingError("Coefficients need a mean above 0, and spreads of at least 0.")


@dataclass(frozen=True)
class ToyData:
    """Samples and the truth behind them.

    Attributes:
        config: what the data were asked to be.
        directions: unit rows, float64 [directions, dimensions].
        coefficients: >= 0, float64 [samples, directions].
        x: coefficients times directions, plus noise, float64 [samples, dimensions].
    """

    config: ToyConfig
    directions: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    x: NDArray[np.float64]


def toy_data(config: ToyConfig) -> ToyData:
    """Draw directions and samples."""
    draw = np.random.default_rng(config.seed)
    # Unit directions, then which of them are active in each sample, and how strongly.
    directions = draw.normal(size=(config.directions, config.dimensions))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shape = (config.samples, config.directions)
    n_active = draw.integers(config.fewest, config.most + 1, size=config.samples)
    active = draw.random(shape).argsort(axis=1) < n_active[:, None]
    strengths = draw.normal(config.strength, config.spread, size=int(active.sum()))
    while (low := strengths <= 0).any():
        strengths[low] = draw.normal(config.strength, config.spread, size=int(low.sum()))
    coefficients = np.zeros(shape)
    coefficients[active] = strengths
    noise = draw.normal(0.0, config.noise, size=(config.samples, config.dimensions))
    return ToyData(config, directions, coefficients, coefficients @ directions + noise)


class ToyStream:
    """Toy samples as the activations of a training, shuffled anew in each epoch."""

    written = None

    def __init__(self, data: ToyData, batch: int, seed: int) -> None:
        if batch > len(data.x):
            raise TrainingError(f"A batch of {batch} does not fit {len(data.x)} samples.")
        self.d_in = data.config.dimensions
        self.device = torch.device("cpu")
        self._x = torch.from_numpy(data.x).float()
        self._batch, self._seed = batch, seed
        self._epoch: tuple[int, Tensor] | None = None
        key = repr((astuple(data.config), batch, seed))
        self.identity = hashlib.sha256(key.encode()).hexdigest()

    def batch(self, number: int) -> Tensor:
        """Samples of step `number`, float32 [batch, dimensions]; a function of `number` alone."""
        epoch, place = divmod(number, len(self._x) // self._batch)
        if self._epoch is None or self._epoch[0] != epoch:
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self._x))
            self._epoch = (epoch, torch.from_numpy(order))
        return self._x[self._epoch[1][place * self._batch : (place + 1) * self._batch]]

    @cached_property
    def mean(self) -> Tensor:
        """Mean of all samples, float32 [dimensions]."""
        return self._x.mean(dim=0)

    @cached_property
    def mean_square_norm(self) -> float:
        """E||x||^2 over all samples."""
        return float(self._x.pow(2).sum(dim=1).mean())

    @cached_property
    def mean_square_deviation(self) -> float:
        """E||x - mean||^2 over all samples."""
        return float((self._x - self.mean).pow(2).sum(dim=1).mean())


@dataclass(frozen=True)
class Match:
    """True directions paired with decoder rows.

    Attributes:
        rows: the row paired with each direction, int64 [directions]; -1: more directions than rows.
        cosines: of each pair, float64 [directions]; -1 where there is none.
    """

    rows: NDArray[np.int64]
    cosines: NDArray[np.float64]

    @property
    def found(self) -> int:
        """Directions whose own row is at cosine `MATCHED` or more."""
        return int((self.cosines >= MATCHED).sum())


def match(directions: NDArray[np.float64], rows: NDArray[np.float64]) -> Match:
    """Pair each direction with one row so that the cosines add up to the most.

    Source: the assignment problem, solved exactly (Kuhn 1955; scipy's `linear_sum_assignment`).

    Args:
        directions: the true directions, [n, d].
        rows: decoder rows, [m, d]; a row of zeros has cosine 0 with everything.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths > 0, lengths, 1.0)
    cosines = (directions / np.linalg.norm(directions, axis=1, keepdims=True)) @ unit.T
    mine, theirs = linear_sum_assignment(cosines, maximize=True)
    paired = np.full(len(directions), -1, dtype=np.int64)
    values = np.full(len(directions), -1.0)
    paired[mine], values[mine] = theirs, cosines[mine, theirs]
    return Match(paired, values)


def random_rows(n: int, dimensions: int, seed: int) -> NDArray[np.float64]:
    """Unit vectors drawn uniformly [n, dimensions]: what chance alone would match."""
    rows = np.random.default_rng((seed, 1)).normal(size=(n, dimensions))
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
