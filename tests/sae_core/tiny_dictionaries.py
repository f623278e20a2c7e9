"""Small random dictionaries for any hook point."""

from __future__ import annotations

import torch

from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.dictionary import Dictionary


def random_dictionary(
    hook_point: str, d_in: int, d_sae: int = 24, architecture: str = "standard"
) -> Dictionary:
    """A seeded dictionary whose features fire on about a third of the tokens."""
    if architecture == "neurons":
        return NeuronBasis(hook_point, d_in)
    dictionary = (
        TopKDictionary(hook_point, d_in, d_sae, k=8)
        if architecture == "topk"
        else StandardDictionary(hook_point, d_in, d_sae)
    )
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in dictionary.named_parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
            if name == "b_enc":
                parameter.sub_(0.2)
    return dictionary.requires_grad_(False)
