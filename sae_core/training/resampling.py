"""Dead features begin again as directions that are reconstructed badly."""

from __future__ import annotations

import torch
from torch import Tensor

ENCODER_NORM = 0.2  # of a feature that begins again, relative to the mean of those alive


def poorly_explained(errors: Tensor, n: int, seed: int, step: int) -> Tensor:
    """Numbers of n tokens drawn with probability ~ (||error||^2)^2, int64 [<= n].

    The draw depends on seed and step alone, so that a resumed training repeats it. There are fewer
    than n where there are fewer errors above 0.

    Source: Bricken et al. 2023, "Towards Monosemanticity", neuron resampling. There directions are
    those of the inputs drawn; here they are those of what is not yet explained of them.

    Args:
        errors: y - y_hat, [tokens, d_out].
        n: how many to draw.
        seed: the training's seed.
        step: number of the step just done.
    """
    squares = errors.pow(2).sum(dim=-1)
    chances = (squares / squares.max().clamp_min(1e-30)).pow(2).double().cpu()
    draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
    n = min(n, int((chances > 0).sum()))
    if n == 0:
        return torch.empty(0, dtype=torch.int64, device=errors.device)
    return torch.multinomial(chances, n, generator=draw).to(errors.device)


def resampling_due(step: int, batch: int, every: int, steps: int) -> bool:
    """Whether dead features begin again after a step: once every `every` tokens.

    Only in the first half of the steps: features that begin later had no time to settle.
    """
    tokens = (step + 1) * batch
    return 2 * (step + 1) <= steps and tokens // every > (tokens - batch) // every
