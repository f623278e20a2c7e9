"""Adam with gradients given by name, and the learning rate of each step."""

from __future__ import annotations

import torch
from torch import Tensor

from sae_core.training.config import TrainingConfig


def rate_at(config: TrainingConfig, peak: float, step: int) -> float:
    """The learning rate of a step: a linear rise over `warmup`, a linear fall over `decay`."""
    rise = (step + 1) / max(1.0, config.warmup * config.steps)
    fall = (config.steps - step) / max(1.0, config.decay * config.steps)
    return peak * min(1.0, rise, fall)


class Adam:
    """Adam (Kingma and Ba 2015), with one fused kernel for each parameter.

    Every row moves in every step; those without a gradient go on by their momentum.
    """

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self._parameters = parameters
        self._adam = torch.optim.Adam(parameters.values(), betas=(0.9, 0.999), fused=True)
        for parameter in parameters.values():
            self._adam.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def step(self, gradients: dict[str, Tensor], rate: float) -> None:
        """Move all parameters by their gradients, in place, at this learning rate."""
        for name, parameter in self._parameters.items():
            parameter.grad = gradients[name]
        self._adam.param_groups[0]["lr"] = rate
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def forget(self, name: str, rows: Tensor) -> None:
        """Begin the moments of some rows of a parameter again, at 0."""
        state = self._adam.state[self._parameters[name]]
        state["exp_avg"][rows] = 0
        state["exp_avg_sq"][rows] = 0

    def tensors(self) -> dict[str, Tensor]:
        """All state, by names such as `W_enc.exp_avg`; writing into them changes it."""
        return {
            f"{name}.{key}": value
            for name, parameter in self._parameters.items()
            for key, value in self._adam.state[parameter].items()
        }
