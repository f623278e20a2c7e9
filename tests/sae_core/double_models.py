"""Hugging Face models in float64 throughout: the references that fast paths are held to."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM


class RMSNorm(nn.Module):
    """x / rms(x) * weight, in the dtype of x; the library's own computes in float32."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = weight, eps

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt()


@cache
def in_double(path: Path) -> nn.Module:
    """The model of a folder, as it comes, in float64."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ == "LlamaRMSNorm":
                setattr(parent, name, RMSNorm(child.weight, child.variance_epsilon))
    return model
