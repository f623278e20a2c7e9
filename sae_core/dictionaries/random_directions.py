"""Features without meaning: random directions that fire as often as given features do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary


@torch.inference_mode()
def random_directions(
    hook_point: str, sample: Tensor, densities: Sequence[float], seed: int
) -> JumpReLUDictionary:
    """A dictionary of random directions at a hook point, one for each density.

    Feature i projects the activation, less its mean, onto a unit vector drawn evenly from the
    sphere, and fires above the quantile of that projection which makes it fire as often as
    `densities[i]` says. Whatever a label for it scores, the label says nothing of a feature that
    was learned.

    Args:
        hook_point: where it reads.
        sample: activations there [n, d_in], of at least a thousand tokens.
        densities: share of tokens on which each fires, in (0, 0.25].
        seed: what the directions are drawn from.
    """
    generator = torch.Generator().manual_seed(seed)
    sample = sample.float()
    d_in = sample.shape[-1]
    rows = torch.randn(len(densities), d_in, generator=generator).to(sample.device)
    rows /= rows.norm(dim=-1, keepdim=True)
    mean = sample.mean(0)
    projections = (sample - mean) @ rows.T  # [n, features]
    made = JumpReLUDictionary(hook_point, d_in, len(densities), apply_b_dec_to_input=True)
    made.requires_grad_(False)
    made.to(sample.device)
    made.W_enc.copy_(rows.T)
    made.W_dec.copy_(rows)
    made.b_dec.copy_(mean)
    ranked = projections.sort(dim=0).values
    for feature, density in enumerate(densities):
        place = min(len(ranked) - 1, int((1 - density) * len(ranked)))
        made.threshold[feature] = ranked[place, feature].clamp_min(0.0)
    return made
