"""The largest pre-activations of each token."""

from __future__ import annotations

from torch import Tensor


def largest(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values and features of the k largest in each row of pre [n, d_sae]: [n, k] each."""
    top = pre.topk(k, dim=-1, sorted=False)
    return top.values, top.indices
