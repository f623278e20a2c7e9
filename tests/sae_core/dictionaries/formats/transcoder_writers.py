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
    K,
    Written,
    double,
    random_tensors,
    top_k,
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
    """One layer of Gemma Scope 2's CLT; what it writes into its own block."""
    folder.mkdir(parents=True)
    t = _jumprelu(13) | random_tensors(14, w_dec=(D_SAE, N_LAYERS, D_OUT))
    t["w_dec"][:, :layer] = 0
    file = folder / f"layer_{layer}.safetensors"
    save_file(t, file)
    return _written(file, t | {"w_dec": t["w_dec"][:, layer]})


def circuit_tracer(
    folder: Path, activation: str = "relu", skip: bool = False, config: str | None = None
) -> Written:
    """`SingleLayerTranscoder` of circuit-tracer: F.linear(x, W_enc, b_enc), x W_skip^T."""
    folder.mkdir(parents=True, exist_ok=True)
    t = random_tensors(15, W_enc=(D_SAE, D_IN), W_dec=(D_SAE, D_IN), b_enc=(D_SAE,), b_dec=(D_IN,))
    if activation == "jump_relu":
        threshold = random_tensors(16, t=(1, D_SAE))["t"].abs()
        t["activation_function.threshold"] = threshold
    if skip:
        t |= random_tensors(17, W_skip=(D_IN, D_IN))
    save_file(t, folder / "layer_1.safetensors")
    (folder / "config.yaml").write_text(
        "model_name: Qwen/Qwen3-0.6B\nmodel_kind: transcoder_set\n"
        "feature_input_hook: 'mlp.hook_in'  # behind the norm\nfeature_output_hook: mlp.hook_out\n"
        f"activation: {activation}\nk: {K}\n"
        if config is None
        else config
    )
    w = double(t)

    def encode(x: Tensor) -> Tensor:
        pre = x @ w["W_enc"].T + w["b_enc"]
        if activation == "topk":
            return top_k(pre, K)
        return pre.relu() * (pre > w.get("activation_function.threshold", torch.zeros(1)))

    side = w["W_skip"].T if skip else torch.zeros(D_IN, D_IN).double()
    return Written(
        folder / "layer_1.safetensors",
        encode,
        lambda x: encode(x) @ w["W_dec"] + w["b_dec"] + x @ side,
    )


def circuit_tracer_clt(folder: Path, layer: int = 1, thresholds: bool = False) -> Written:
    """One layer of a `CrossLayerTranscoder`; what it writes into its own block.

    With thresholds it has a skip connection as well, which is not transposed: x W_skip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    t = random_tensors(18, W_enc=(D_SAE, D_IN), b_enc=(D_SAE,), b_dec=(D_IN,))
    if thresholds:
        t |= random_tensors(19, threshold=(D_SAE,), W_skip=(D_IN, D_IN))
        t["threshold"].abs_()
    save_file(
        {f"{name}_{layer}": x for name, x in t.items()}, folder / f"W_enc_{layer}.safetensors"
    )
    W_dec = random_tensors(20, W_dec=(D_SAE, N_LAYERS - layer, D_IN))["W_dec"]
    save_file({f"W_dec_{layer}": W_dec}, folder / f"W_dec_{layer}.safetensors")
    (folder / "config.yaml").write_text(
        'model_name: "google/gemma-2-2b"\nmodel_kind: cross_layer_transcoder\n'
        "feature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n"
    )
    w = double(t)

    def encode(x: Tensor) -> Tensor:
        pre = x @ w["W_enc"].T + w["b_enc"]
        return pre.relu() * (pre > w.get("threshold", torch.zeros(1)))

    side = w.get("W_skip", torch.zeros(D_IN, D_IN).double())
    return Written(
        folder / f"W_enc_{layer}.safetensors",
        encode,
        lambda x: encode(x) @ W_dec[:, 0].double() + w["b_dec"] + x @ side,
    )


def sparsify(folder: Path, skip: bool) -> Written:
    """`SparseCoder` of EleutherAI sparsify with `transcode`: x as it is, x W_skip.mT."""
    folder.mkdir(parents=True)
    linear = {"encoder.weight": (D_SAE, D_IN), "encoder.bias": (D_SAE,)}
    t = random_tensors(21, W_dec=(D_SAE, D_IN), b_dec=(D_IN,), **linear)
    if skip:
        t |= random_tensors(22, W_skip=(D_IN, D_IN))
    save_file(t, folder / "sae.safetensors")
    config = {
        "activation": "topk", "expansion_factor": 32, "normalize_decoder": True,
        "num_latents": D_SAE, "k": K, "multi_topk": False, "skip_connection": skip,
        "transcode": True, "d_in": D_IN,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))
    w = double(t)

    def encode(x: Tensor) -> Tensor:
        return top_k((x @ w["encoder.weight"].T + w["encoder.bias"]).relu(), K)

    side = w["W_skip"].mT if skip else torch.zeros(D_IN, D_IN).double()
    return Written(folder, encode, lambda x: encode(x) @ w["W_dec"] + w["b_dec"] + x @ side)


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
