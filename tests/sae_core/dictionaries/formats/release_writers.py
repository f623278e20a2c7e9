"""Dictionaries that were published in a form of their own, and their own maths in float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.sae_core.dictionaries.formats.writers import (
    D_IN,
    D_SAE,
    K,
    Written,
    double,
    random_tensors,
    saelens,
    sparsify,
    top_k,
)


def qwen_scope(folder: Path) -> Written:
    """Qwen Scope's card: the k largest of x W_enc^T + b_enc, nothing taken off x."""
    folder.mkdir(parents=True)
    t = random_tensors(31, W_enc=(D_SAE, D_IN), W_dec=(D_IN, D_SAE), b_enc=(D_SAE,), b_dec=(D_IN,))
    torch.save(t, folder / "layer1.sae.pt")
    w = double(t)

    def encode(x: Tensor) -> Tensor:
        return top_k(x @ w["W_enc"].T + w["b_enc"], K)

    return Written(
        folder / "layer1.sae.pt", encode, lambda x: encode(x) @ w["W_dec"].T + w["b_dec"]
    )


def linear_layers(file: Path, suffix: str) -> Written:
    """Two `nn.Linear` with a ReLU between; Goodfire calls them encoder_linear, decoder_linear."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shapes: dict[str, tuple[int, ...]] = {
        f"encoder{suffix}.weight": (D_SAE, D_IN), f"encoder{suffix}.bias": (D_SAE,),
        f"decoder{suffix}.weight": (D_IN, D_SAE), f"decoder{suffix}.bias": (D_IN,),
    }  # fmt: skip
    t = random_tensors(32, **shapes)
    torch.save(t, file)
    w = double(t)

    def encode(x: Tensor) -> Tensor:
        return (x @ w[f"encoder{suffix}.weight"].T + w[f"encoder{suffix}.bias"]).relu()

    return Written(
        file,
        encode,
        lambda x: encode(x) @ w[f"decoder{suffix}.weight"].T + w[f"decoder{suffix}.bias"],
    )


def kissane(file: Path) -> Written:
    """Connor Kissane's `AutoEncoder`: relu((x - b_dec) W_enc + b_enc)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    t = random_tensors(33, W_enc=(D_IN, D_SAE), W_dec=(D_SAE, D_IN), b_enc=(D_SAE,), b_dec=(D_IN,))
    torch.save(t, file)
    config = {
        "act_size": D_IN, "dict_size": D_SAE, "act_name": "blocks.1.attn.hook_z", "site": "z",
        "layer": 1, "l1_coeff": 1.8,
    }  # fmt: skip
    file.with_name(f"{file.stem}_cfg.json").write_text(json.dumps(config))
    w = double(t)

    def encode(x: Tensor) -> Tensor:
        return ((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu()

    return Written(file, encode, lambda x: encode(x) @ w["W_dec"] + w["b_dec"])


def largest_of_either_sign(pre: Tensor, k: int) -> Tensor:
    """The k of largest magnitude of each row, with their signs."""
    kept = torch.zeros_like(pre)
    for row, values in enumerate(pre):
        best = values.abs().argsort(descending=True)[:k]
        kept[row, best] = values[best]
    return kept


def abstopk(folder: Path) -> Written:
    """SAELens' `AbsTopKSAE`, with `rescale_acts_by_decoder_norm` as its TopK has it."""
    saelens(folder, "topk")
    config = json.loads((folder / "cfg.json").read_text()) | {"architecture": "abstopk"}
    (folder / "cfg.json").write_text(json.dumps(config))
    w = double(load_file(folder / "sae_weights.safetensors"))
    norms = w["W_dec"].norm(dim=-1)

    def signed(x: Tensor) -> Tensor:
        return largest_of_either_sign(((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"]) * norms, K)

    return Written(
        folder,
        lambda x: torch.cat([signed(x).relu(), (-signed(x)).relu()], dim=-1),
        lambda x: (signed(x) / norms) @ w["W_dec"] + w["b_dec"],
        d_sae=2 * D_SAE,
    )


def signed_sparsify(folder: Path) -> Written:
    """sparsify of June 2024 with `signed`: no ReLU, the k largest by magnitude."""
    sparsify(folder)
    config = json.loads((folder / "cfg.json").read_text()) | {"signed": True}
    (folder / "cfg.json").write_text(json.dumps(config))
    w = double(load_file(folder / "sae.safetensors"))

    def signed(x: Tensor) -> Tensor:
        pre = (x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"]
        return largest_of_either_sign(pre, K)

    return Written(
        folder,
        lambda x: torch.cat([signed(x).relu(), (-signed(x)).relu()], dim=-1),
        lambda x: signed(x) @ w["W_dec"] + w["b_dec"],
        d_sae=2 * D_SAE,
    )


def matching_pursuit(folder: Path, subtract: bool = True, **settings: Any) -> Written:
    """SAELens' `_encode_matching_pursuit`, one token after the other, and its `decode`."""
    folder.mkdir(parents=True)
    t = random_tensors(34, W_dec=(D_SAE, D_IN), b_dec=(D_IN,))
    t["W_dec"] = t["W_dec"] / t["W_dec"].norm(dim=-1, keepdim=True)
    save_file(t, folder / "sae_weights.safetensors")
    own = {"residual_threshold": 0.5, "max_iterations": None, "stop_on_duplicate_support": True}
    own |= settings
    config = own | {
        "architecture": "matching_pursuit", "d_in": D_IN, "d_sae": D_SAE, "dtype": "float32",
        "device": "cpu", "apply_b_dec_to_input": subtract, "normalize_activations": "none",
        "reshape_activations": "none", "metadata": {"hook_name": "blocks.1.hook_resid_pre"},
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))
    w = double(t)
    shift = w["b_dec"] if subtract else torch.zeros(D_IN).double()

    def encode(x: Tensor) -> Tensor:
        return torch.stack([_pursued(row - shift, w["W_dec"], own) for row in x])

    return Written(folder, encode, lambda x: encode(x) @ w["W_dec"] + shift)


def _pursued(residual: Tensor, atoms: Tensor, own: dict[str, Any]) -> Tensor:
    acts = torch.zeros(len(atoms)).double()
    for _ in range(own["max_iterations"] or len(residual)):
        support = set(acts.nonzero()[:, 0].tolist())
        best = int((atoms @ residual).relu().argmax())
        value = (atoms[best] @ residual).relu()
        acts[best] += value
        residual = residual - value * atoms[best]
        same = set(acts.nonzero()[:, 0].tolist()) == support
        if own["stop_on_duplicate_support"] and same:
            break
        if own["residual_threshold"] > 0 and residual.norm() < own["residual_threshold"]:
            break
    return acts
