"""Folders and files as the published formats write them, and each format's own maths in float64.

Every writer stands beside the equations of the code that the format comes from, named in its
docstring. Nothing here uses a reader, or a dictionary, of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

D_IN, D_SAE, K = 12, 40, 5


@dataclass(frozen=True)
class Written:
    """A dictionary on disk.

    Attributes:
        path: what a user would give.
        encode: x [n, d_in] float64 to activations [n, d_sae] as the format's own code has them.
        rebuild: x to the format's own reconstruction [n, d_in].
        unit: x to what one unit of those activations is in the model's own units, [n, 1].
        d_sae: how many features that are.
    """

    path: Path
    encode: Callable[[Tensor], Tensor]
    rebuild: Callable[[Tensor], Tensor]
    unit: Callable[[Tensor], Tensor] = lambda x: torch.ones(len(x), 1, dtype=x.dtype)
    d_sae: int = D_SAE


def random_tensors(seed: int = 0, **shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """Seeded float32 tensors of these shapes, of a size at which a part of the features fires."""
    draw = torch.Generator().manual_seed(seed)
    return {name: 0.5 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def double(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in float64, for equations."""
    return {name: tensor.double() for name, tensor in tensors.items()}


def top_k(pre: Tensor, k: int) -> Tensor:
    """The k largest of each row, and of those what is above 0."""
    kept = torch.zeros_like(pre)
    for row, values in enumerate(pre):
        best = values.argsort(descending=True)[:k]
        kept[row, best] = values[best].clamp_min(0)
    return kept


def saelens(folder: Path, architecture: str, norm: str = "none", old: bool = False) -> Written:
    """SAELens 6.54 (saes/*.py, `SAE.save_model`), or settings as its version 3 wrote them."""
    folder.mkdir(parents=True)
    subtract = architecture != "jumprelu"
    shapes: dict[str, tuple[int, ...]] = {
        "W_enc": (D_IN, D_SAE), "W_dec": (D_SAE, D_IN), "b_dec": (D_IN,),
    }  # fmt: skip
    names = {"gated": ("b_gate", "b_mag", "r_mag"), "jumprelu": ("b_enc", "threshold")}
    shapes |= dict.fromkeys(names.get(architecture, ("b_enc",)), (D_SAE,))
    tensors = random_tensors(**shapes)
    if architecture == "jumprelu":
        tensors["threshold"].abs_()
    rescale = architecture == "topk" and not old
    config: dict[str, Any] = {
        "d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", "device": "cpu",
        "normalize_activations": norm, "apply_b_dec_to_input": subtract,
    }  # fmt: skip
    if old:
        config |= {
            "model_name": "tiny", "hook_point": "blocks.1.hook_resid_pre", "hook_point_layer": 1,
            "hook_point_head_index": None, "activation_fn_str": "relu", "activation_fn_kwargs": {},
            "dtype": "torch.float32", "prepend_bos": True, "finetuning_scaling_factor": False,
            "architecture": architecture, "context_size": 64, "l1_coefficient": 0.1,
        }  # fmt: skip
        if architecture == "topk":
            config |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}
            config["architecture"] = "standard"
        if subtract:
            del config["apply_b_dec_to_input"]  # it came later, and always was so before
        save_file({"sparsity": torch.zeros(D_SAE)}, folder / "sparsity.safetensors")
    else:
        config |= {
            "architecture": architecture, "reshape_activations": "none",
            "metadata": {
                "sae_lens_version": "6.54.12", "model_name": "tiny",
                "hook_name": "blocks.1.hook_resid_pre", "prepend_bos": True,
            },
        }  # fmt: skip
        if architecture == "topk":
            config |= {"k": K, "rescale_acts_by_decoder_norm": rescale}
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(tensors, folder / "sae_weights.safetensors")
    w = double(tensors)
    norms = w["W_dec"].norm(dim=-1) if rescale else torch.ones(D_SAE).double()

    def enter(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `_setup_activation_normalization`: what goes in; the factor and the mean after."""
        zero = torch.zeros(len(x), 1).double()
        if norm == "layer_norm":
            mean, std = (
                x.mean(-1, keepdim=True),
                (x - x.mean(-1, keepdim=True)).std(-1, keepdim=True),
            )
            return (x - mean) / (std + 1e-5), std, mean
        if norm == "constant_norm_rescale":
            coefficient = D_IN**0.5 / x.norm(dim=-1, keepdim=True)
            return x * coefficient, 1 / coefficient, zero
        return x, zero + 1, zero

    def encode(x: Tensor) -> Tensor:
        u = enter(x)[0] - (w["b_dec"] if subtract else 0)
        if architecture == "gated":
            magnitude = u @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"]
            return (u @ w["W_enc"] + w["b_gate"] > 0) * magnitude.relu()
        pre = u @ w["W_enc"] + w["b_enc"]
        if architecture == "topk":
            return top_k(pre * norms, K)
        return pre.relu() * (pre > w["threshold"] if architecture == "jumprelu" else 1)

    def rebuild(x: Tensor) -> Tensor:
        _, factor, mean = enter(x)
        return ((encode(x) / norms) @ w["W_dec"] + w["b_dec"]) * factor + mean

    return Written(folder, encode, rebuild, lambda x: enter(x)[1])


def finetuned(folder: Path) -> Written:
    """SAELens 3 to 5 with `finetuning_scaling_factor`: f scaled on the way to the decoder."""
    written = saelens(folder, "standard", old=True)
    factor = 1 + 0.1 * torch.arange(D_SAE).float()
    config = json.loads((folder / "cfg.json").read_text()) | {"finetuning_scaling_factor": True}
    (folder / "cfg.json").write_text(json.dumps(config))
    tensors = load_file(folder / "sae_weights.safetensors")
    save_file(tensors | {"scaling_factor": factor}, folder / "sae_weights.safetensors")
    w = double(tensors)
    return Written(
        folder,
        written.encode,
        lambda x: (written.encode(x) * factor.double()) @ w["W_dec"] + w["b_dec"],
    )


def learned(folder: Path, kind: str, backup: float | None = None) -> Written:
    """dictionary_learning: `trainSAE` and the classes in dictionary.py and trainers/.

    With `backup` as an interrupted training leaves it: activations were divided by that number.
    """
    folder.mkdir(parents=True)
    linear = {"encoder.weight": (D_SAE, D_IN), "decoder.weight": (D_IN, D_SAE)}
    plain = {"W_enc": (D_IN, D_SAE), "W_dec": (D_SAE, D_IN), "b_enc": (D_SAE,), "b_dec": (D_IN,)}
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "AutoEncoder": linear | {"bias": (D_IN,), "encoder.bias": (D_SAE,)},
        "AutoEncoderNew": linear | {"encoder.bias": (D_SAE,), "decoder.bias": (D_IN,)},
        "GatedAutoEncoder": linear
        | {"decoder_bias": (D_IN,)}
        | dict.fromkeys(("r_mag", "gate_bias", "mag_bias"), (D_SAE,)),
        "AutoEncoderTopK": linear | {"encoder.bias": (D_SAE,), "b_dec": (D_IN,)},
        "BatchTopKSAE": linear | {"encoder.bias": (D_SAE,), "b_dec": (D_IN,)},
        "MatryoshkaBatchTopKSAE": plain,
        "JumpReluAutoEncoder": plain | {"threshold": (D_SAE,)},
    }
    state = random_tensors(1, **shapes[kind])
    if kind == "JumpReluAutoEncoder":
        state["threshold"].abs_()
    w = double(state)
    if "TopK" in kind:
        state |= {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(0.4)}
    if kind == "MatryoshkaBatchTopKSAE":
        state["group_sizes"] = torch.tensor([8, 32])
    trainer = {
        "dict_class": kind, "trainer_class": "…", "activation_dim": D_IN, "dict_size": D_SAE,
        "layer": 1, "lm_name": "EleutherAI/pythia-70m-deduped",
        "submodule_name": "resid_post_layer_1", "k": K, "device": "cuda:0",
    }  # fmt: skip
    (folder / "config.json").write_text(
        json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}})
    )
    stored: dict[str, Any] = state
    if backup is not None:
        stored = {"step": 7, "ae": state, "optimizer": {"state": {}}, "norm_factor": backup}
    torch.save(stored, folder / "ae.pt")
    scale = backup or 1.0
    linear_kind = "encoder.weight" in w
    W_enc = w["encoder.weight"].T if linear_kind else w["W_enc"]
    W_dec = w["decoder.weight"].T if linear_kind else w["W_dec"]
    b_enc = w.get("encoder.bias", w.get("b_enc", torch.zeros(D_SAE).double()))
    b_dec = next(w[n] for n in ("bias", "decoder_bias", "decoder.bias", "b_dec") if n in w)
    if kind == "AutoEncoder":  # from_pretrained(normalize_decoder=True)
        norms = W_dec.norm(dim=-1)
        W_enc, b_enc, W_dec = W_enc * norms, b_enc * norms, W_dec / norms[:, None]

    def encode(x: Tensor) -> Tensor:
        x = x / scale
        u = x if kind in ("AutoEncoderNew", "JumpReluAutoEncoder") else x - b_dec
        if kind == "GatedAutoEncoder":
            e = u @ W_enc
            return (e + w["gate_bias"] > 0) * (w["r_mag"].exp() * e + w["mag_bias"]).relu()
        pre = u @ W_enc + b_enc
        if kind == "AutoEncoderTopK":
            return top_k(pre.relu(), K)
        if "TopK" in kind:
            return pre.relu() * (pre.relu() > float(torch.tensor(0.4)))
        if kind == "JumpReluAutoEncoder":
            return (pre * (pre > w["threshold"])).relu()
        return pre.relu()

    return Written(
        folder,
        encode,
        lambda x: (encode(x) @ W_dec + b_dec) * scale,
        lambda x: torch.full((len(x), 1), scale).double(),
    )


def gemma_scope(folder: Path, edition: int = 1) -> Written:
    """Gemma Scope's tutorial notebook, class JumpReLUSAE; the second edition's names.

    In a folder `embedding` what it reads is the embedding before Gemma's factor sqrt(d_model).
    """
    folder.mkdir(parents=True)
    tensors = random_tensors(
        2, W_enc=(D_IN, D_SAE), W_dec=(D_SAE, D_IN), b_enc=(D_SAE,), b_dec=(D_IN,),
        threshold=(D_SAE,),
    )  # fmt: skip
    tensors["threshold"].abs_()
    if edition == 1:
        np.savez(folder / "params.npz", **{name: t.numpy() for name, t in tensors.items()})
    else:
        lower = {name.replace("W_", "w_"): tensor for name, tensor in tensors.items()}
        save_file(lower, folder / "params.safetensors")
    w = double(tensors)
    factor = D_IN**0.5 if "embedding" in folder.parts else 1.0

    def encode(x: Tensor) -> Tensor:
        pre = x / factor @ w["W_enc"] + w["b_enc"]
        return (pre > w["threshold"]) * pre.relu()

    return Written(
        folder,
        encode,
        lambda x: (encode(x) @ w["W_dec"] + w["b_dec"]) * factor,
        lambda x: torch.full((len(x), 1), factor, dtype=torch.float64),
    )


def openai(file: Path, activation: str) -> Written:
    """sparse_autoencoder/model.py: `Autoencoder.state_dict`, `LN`, `encode`, `decode`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = random_tensors(
        3, pre_bias=(D_IN,), latent_bias=(D_SAE,),
        **{"encoder.weight": (D_SAE, D_IN), "decoder.weight": (D_IN, D_SAE)},
    )  # fmt: skip
    state: dict[str, Any] = tensors | {
        "stats_last_nonzero": torch.zeros(D_SAE, dtype=torch.long),
        "latents_activation_frequency": torch.ones(D_SAE),
        "latents_mean_square": torch.zeros(D_SAE),
        "activation": activation,
        "activation_state_dict": {"k": K, "postact_fn": "ReLU"} if activation == "TopK" else {},
    }
    torch.save(state, file)
    w = double(tensors)

    def enter(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if activation != "TopK":
            return x, torch.ones(len(x), 1).double(), torch.zeros(len(x), 1).double()
        mu = x.mean(dim=-1, keepdim=True)
        std = (x - mu).std(dim=-1, keepdim=True)
        return (x - mu) / (std + 1e-5), std, mu

    def encode(x: Tensor) -> Tensor:
        pre = (enter(x)[0] - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"]
        return top_k(pre, K) if activation == "TopK" else pre.relu()

    def rebuild(x: Tensor) -> Tensor:
        _, std, mu = enter(x)
        return (encode(x) @ w["decoder.weight"].T + w["pre_bias"]) * std + mu

    return Written(file, encode, rebuild, lambda x: enter(x)[1])


def llama_scope(
    folder: Path,
    act_fn: str = "jumprelu",
    newer: bool = False,
    names: str = "newer",
    **changes: Any,
) -> Written:
    """OpenMOSS/Language-Model-SAEs: `SparseAutoEncoder.encode` with dataset-wise norms.

    The newer settings came before the newer names of tensors (February 2025, Llama Scope R1).
    """
    t = random_tensors(
        7, W=(D_SAE, D_IN), D=(D_IN, D_SAE), b=(D_SAE,), c=(D_IN,), log_threshold=(D_SAE,)
    )
    settings: dict[str, Any] = {
        "hook_point_in": "blocks.1.hook_resid_pre", "hook_point_out": "blocks.1.hook_resid_pre",
        "d_model": D_IN, "d_sae": D_SAE, "act_fn": act_fn, "jump_relu_threshold": 0.3, "top_k": K,
        "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True,
        "dataset_average_activation_norm": {"in": 7.0, "out": 7.0},
        "apply_decoder_bias_to_pre_encoder": False,
    }  # fmt: skip
    settings |= changes
    (folder / "checkpoints").mkdir(parents=True)
    if newer:
        del settings["dataset_average_activation_norm"]
        settings["sae_type"] = "sae"
        stored = {"W_E": t["W"].T, "W_D": t["D"].T, "b_E": t["b"], "b_D": t["c"]}
        if names == "before":
            stored = {"encoder.weight": t["W"], "decoder.weight": t["D"]}
            stored |= {"encoder.bias": t["b"], "decoder.bias": t["c"]}
        stored["log_jumprelu_threshold"] = t["log_threshold"]
        stored["dataset_average_activation_norm.blocks.1.hook_resid_pre"] = torch.tensor(7.0)
        save_file(
            {n: x.contiguous() for n, x in stored.items()}, folder / "sae_weights.safetensors"
        )
        (folder / "config.json").write_text(json.dumps(settings))
    else:
        stored = {"encoder.weight": t["W"], "decoder.weight": t["D"]}
        stored |= {"encoder.bias": t["b"], "decoder.bias": t["c"]}
        save_file(stored, folder / "checkpoints" / "final.safetensors")
        (folder / "hyperparams.json").write_text(json.dumps(settings))
    w = double(t)
    norms = w["D"].norm(dim=0)
    norms = norms if settings["sparsity_include_decoder_norm"] else torch.ones_like(norms)
    scaled = settings["norm_activation"] == "dataset-wise"
    scale = D_IN**0.5 / 7.0 if scaled else 1.0
    # The one threshold was measured on activations of x itself.
    threshold = w["log_threshold"].exp() if newer else torch.full_like(norms, 0.3 * scale)

    def encode(x: Tensor) -> Tensor:
        pre = ((scale * x) @ w["W"].T + w["b"]) * norms
        if act_fn == "topk":
            return top_k(pre, K) / norms
        return pre.relu() * (pre > (threshold if act_fn == "jumprelu" else 0.0)) / norms

    # TopK is kept with rows of norm 1, so one unit of it is one of its own times the row's norm.
    unit = norms[None] if act_fn == "topk" else torch.ones(1, 1).double()
    return Written(
        folder,
        encode,
        lambda x: (encode(x) @ w["D"].T + w["c"]) / scale,
        lambda x: unit / scale,
    )


def sparsify(folder: Path) -> Written:
    """EleutherAI sparsify: `SparseCoder.save_to_disk`, `encode` (fused_encoder.py), `decode`."""
    folder.mkdir(parents=True)
    tensors = random_tensors(
        4, W_dec=(D_SAE, D_IN), b_dec=(D_IN,),
        **{"encoder.weight": (D_SAE, D_IN), "encoder.bias": (D_SAE,)},
    )  # fmt: skip
    save_file(tensors, folder / "sae.safetensors")
    config = {
        "activation": "topk", "expansion_factor": 32, "normalize_decoder": True,
        "num_latents": D_SAE, "k": K, "multi_topk": False, "skip_connection": False,
        "transcode": False, "d_in": D_IN,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(config))
    w = double(tensors)

    def encode(x: Tensor) -> Tensor:
        pre = (x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"]
        return top_k(pre.relu(), K)

    return Written(folder, encode, lambda x: encode(x) @ w["W_dec"] + w["b_dec"])
