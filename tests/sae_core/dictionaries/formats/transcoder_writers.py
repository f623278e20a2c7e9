"""Transcoders as the published formats write them, and each format's own maths in float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.sae_core.dictionaries.formats.writers import (
    D_IN,
    D_SAE,
    Written,
    double,
    random_tensors,
)

D_OUT, N_LAYERS = 10, 4


def gemma_scope(folder: Path, edition: int = 1, affine: bool = False) -> Written:
    """A transcoder of Gemma Scope; SAELens' `gemma_2_transcoder` and `gemma_3` loaders."""
    folder.mkdir(parents=True)
    t = _jumprelu(11)
    if edition == 1:
        names = {name.replace("w_", "W_"): tensor.numpy() for name, tensor in t.items()}
        np.savez(folder / "params.npz", **names)
    else:
        block = "model.layers.1"
        config: dict[str, Any] = {
            "architecture": "jump_relu", "model_name": "gemma-v3-1b-pt",
            "affine_connection": affine,
            "hf_hook_point_in": f"{block}.pre_feedforward_layernorm.output",
            "hf_hook_point_out": f"{block}.post_feedforward_layernorm.output",
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config))
        if affine:
            t |= random_tensors(12, affine_skip_connection=(D_IN, D_OUT))
        save_file(t, folder / "params.safetensors")
    return _written(folder, t)


def gemma_scope_clt(folder: Path, layer: int) -> Written:
    """One layer of Gemma Scope 2's CLT, its outputs added up as SAELens' `gemma_3` loader does."""
    folder.mkdir(parents=True)
    t = _jumprelu(13) | random_tensors(14, w_dec=(D_SAE, N_LAYERS, D_OUT))
    t["w_dec"][:, :layer] = 0
    file = folder / f"layer_{layer}.safetensors"
    save_file(t, file)
    return _written(file, t | {"w_dec": t["w_dec"].double().sum(dim=1)})


def _jumprelu(seed: int) -> dict[str, Tensor]:
    tensors = random_tensors(
        seed, w_enc=(D_IN, D_SAE), w_dec=(D_SAE, D_OUT), b_enc=(D_SAE,), b_dec=(D_OUT,),
        threshold=(D_SAE,),
    )  # fmt: skip
    tensors["threshold"].abs_()
    return tensors


def _written(path: Path, tensors: dict[str, Tensor]) -> Written:
    """`JumpReLUSkipTranscoder` of SAELens, x A in place of its x W_skip^T."""
    w = double(tensors)

    def encode(x: Tensor) -> Tensor:
        pre = x @ w["w_enc"] + w["b_enc"]
        return pre.relu() * (pre > w["threshold"])

    skip = w.get("affine_skip_connection", torch.zeros(D_IN, D_OUT).double())
    return Written(path, encode, lambda x: encode(x) @ w["w_dec"] + w["b_dec"] + x @ skip)
