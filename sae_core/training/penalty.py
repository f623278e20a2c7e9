"""The weight of a sparsity penalty: fixed, or steered until a wanted L0 is reached."""

from __future__ import annotations

import math

import torch

from sae_core.training.config import TrainingConfig

INTEGRAL = 0.04  # of the weight's logarithm, a step at the end, where L0 is e times the wanted one
PROPORTIONAL = 1.0
FROZEN = 0.05  # share of the steps, at the end, in which the weight stands still
MEMORY = 0.95  # of the running mean of L0, a step
_REACH = 1.0  # how far off L0 is taken to be at most, as a logarithm
_LARGEST = 50.0  # I, either way: an L0 out of reach is no overflow


class PenaltyWeight:
    """The weight of a penalty in every step: risen linearly over the sparsity warm-up, then

        log w = I + P * d,    I <- I + K * s * d after step s,    d = log(running L0 / wanted L0),

    with s as a share of all steps and d at most 1 either way: proportional-integral control in the
    logarithm, where what one factor of the weight does to L0 depends little on the units and on
    the weight itself. K grows, for what moves L0 at first passes by itself. With a
    fixed `config.penalty` the weight is that one after the warm-up. In the last twentieth of the
    steps w = exp(I) stands still, so that the end is the minimum of one loss.

    Attributes:
        state: I and the logarithm of the running L0 (NaN before the first step), float64 [2].
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._warm = config.sparsity_warmup * config.steps
        self._frozen_from = (1 - FROZEN) * config.steps
        first = config.penalty or 1.0
        self.state = torch.tensor([math.log(first), math.nan], dtype=torch.float64)

    def begin(self, weight: float) -> None:
        """Start a steered weight at a value near where it will end."""
        if self._config.penalty is None:
            self.state[0] = math.log(weight)

    def at(self, step: int) -> float:
        """The penalty's weight in a step."""
        if self._config.penalty == 0:
            return 0.0
        logarithm = float(self.state[0])
        if step < self._frozen_from:
            logarithm += PROPORTIONAL * self._distance()
        return math.exp(logarithm) * min(1.0, (step + 1) / max(1.0, self._warm))

    def observe(self, step: int, l0: float) -> None:
        """Take in the mean L0 of the step just done, which moves I while the weight is steered."""
        new, old = math.log(max(l0, 1e-3)), float(self.state[1])
        self.state[1] = new if math.isnan(old) else MEMORY * old + (1 - MEMORY) * new
        if self._warm <= step + 1 < self._frozen_from:
            self.state[0] += INTEGRAL * step / self._config.steps * self._distance()
            self.state[0].clamp_(-_LARGEST, _LARGEST)

    def _distance(self) -> float:
        """d: how far the running L0 is above the wanted one, as a logarithm."""
        running = float(self.state[1])
        if self._config.l0 is None or math.isnan(running):
            return 0.0
        return min(_REACH, max(-_REACH, running - math.log(self._config.l0)))
