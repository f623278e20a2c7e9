"""The linear parts of a Hugging Face model, read off as plain matrices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPSILONS = ("variance_epsilon", "eps", "epsilon")  # as the library's norms call it
_USUAL_EPSILON = 1e-6


def in_out(projection: nn.Module) -> Tensor:
    """A projection's weight, [d_in, d_out], of a Linear or of GPT-2's transposed Conv1D."""
    weight = projection.weight
    assert isinstance(weight, Tensor)
    return weight.T if isinstance(projection, nn.Linear) else weight


def norm_weight(norm: nn.Module, d_model: int) -> tuple[Tensor, bool]:
    """A norm's effective weight, float32 [d_model], and whether it subtracts the mean.

    Both are read off what the norm does to two vectors, since architectures store the weight
    differently (Gemma keeps it less one). The vectors are large enough to drown epsilon.
    """
    parameter = next(norm.parameters(), None)
    like = torch.zeros(d_model) if parameter is None else parameter.new_zeros(d_model)
    vector = torch.full_like(like, 256.0)
    vector[::2] = -256.0
    shift = norm(like)
    centres = torch.allclose(norm(vector), norm(vector + 64.0), rtol=1e-3, atol=1e-3)
    centred = vector - vector.mean() if centres else vector
    scale = centred.double().square().mean().sqrt()
    return ((norm(vector) - shift).double() * scale / centred.double()).float(), centres


def normalised(x: Tensor, norm: nn.Module, centres: bool) -> Tensor:
    """What a norm gives for x [..., d_model] before its weight and bias.

    In float32 at least, as the library's own norms compute.
    """
    epsilon = next(
        (float(getattr(norm, name)) for name in _EPSILONS if hasattr(norm, name)), _USUAL_EPSILON
    )
    wide = x if x.dtype == torch.float64 else x.float()
    if centres:
        wide = wide - wide.mean(dim=-1, keepdim=True)
    scale = (wide.square().mean(dim=-1, keepdim=True) + epsilon).rsqrt()
    return (wide * scale).to(x.dtype)


def fold_norm(matrix: Tensor, norm: nn.Module) -> Tensor:
    """`matrix` [d_in, d_model] followed by a norm, without the norm's division and bias."""
    weight, centres = norm_weight(norm, matrix.shape[1])
    matrix = matrix.float()
    return (matrix - matrix.mean(1, keepdim=True) if centres else matrix) * weight
