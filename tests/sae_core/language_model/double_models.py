"""Hugging Face models in float64 throughout, hooked by hand: what fast paths are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from sae_core.language_model.folder import find_model
from sae_core.language_model.model import LanguageModel


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


@contextmanager
def exchanged(model: nn.Module, name: str, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block the activation at `name` of a GPT-2 or Llama is exchanged."""
    _, layer, kind = name.split(".", 2)
    gpt2 = hasattr(model, "transformer")
    block = (model.transformer.h if gpt2 else model.model.layers)[int(layer)]
    attention = block.attn if gpt2 else block.self_attn
    projection = {
        "attn.hook_z": attention.c_proj if gpt2 else attention.o_proj,
        "mlp.hook_post": block.mlp.c_proj if gpt2 else block.mlp.down_proj,
    }
    entered: list[Tensor] = []
    with ExitStack() as stack:
        if kind in projection:
            handle = projection[kind].register_forward_pre_hook(lambda m, args: (edit(args[0]),))
        elif kind == "hook_mlp_out":
            handle = block.mlp.register_forward_hook(lambda m, args, out: edit(out))
        elif kind == "hook_attn_out":
            handle = attention.register_forward_hook(lambda m, args, out: (edit(out[0]), *out[1:]))
        elif kind == "hook_resid_mid":
            stack.callback(
                block.register_forward_pre_hook(lambda m, args: entered.append(args[0])).remove
            )
            handle = attention.register_forward_hook(
                lambda m, args, out: (edit(entered[-1] + out[0]) - entered[-1], *out[1:])
            )
        elif kind == "hook_resid_pre":
            handle = block.register_forward_pre_hook(lambda m, args: (edit(args[0]), *args[1:]))
        else:
            handle = block.register_forward_hook(lambda m, args, out: edit(out))
        stack.callback(handle.remove)
        yield


def double(model: LanguageModel) -> LanguageModel:
    """The same model in float64 throughout."""
    return LanguageModel(in_double(model.path), find_model(model.path))
