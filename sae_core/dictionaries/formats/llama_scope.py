"""OpenMOSS' Language-Model-SAEs, of Llama Scope: `hyperparams.json` or `config.json`, safetensors.

Equation (OpenMOSS/Language-Model-SAEs, `SparseAutoEncoder.encode`), with z = s x, where
s = sqrt(d_model) / `dataset_average_activation_norm`, and n_f = ||W_dec_f|| where
`sparsity_include_decoder_norm` says so, else 1:

    f = act(n_f * (z W_enc + b_enc)) / n_f,    z_hat = f W_dec + b_dec,

where act is ReLU, JumpReLU with one threshold or a learned one for each feature, or TopK. Learned
thresholds are of z; the one of `jump_relu_threshold` is of x, whose units the weights were brought
to before it was measured (`post_process_topk_to_jumprelu_for_inference`): s times it is that of z.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_core.dictionaries.formats.parts import (
    LISTED_FACTOR,
    Asked,
    Parts,
    TensorFile,
    folded_scale,
    row_norms,
)
from sae_core.dictionaries.normalised import InputNorm
from sae_core.dictionaries.settings import LLAMA_SCOPE, sift
from sae_core.errors import CheckpointError
from sae_core.files.json_config import JsonConfig
from sae_core.files.weight_files import check_file, read_tensors

_SETTINGS = ("hyperparams.json", "config.json")
_WEIGHTS = ("checkpoints/final.safetensors", "final.safetensors", "sae_weights.safetensors")
_NORM = "dataset_average_activation_norm"


def recognise(path: Path) -> bool:
    """Whether that is a folder of OpenMOSS'."""
    if (path / "cfg.json").exists() or not any((path / name).is_file() for name in _WEIGHTS):
        return False
    settings = _settings_of(path)
    if settings is None:
        return False
    try:
        return "hook_point_in" in JsonConfig.read(settings).values
    except CheckpointError:
        return settings.name == _SETTINGS[0]


def _settings_of(path: Path) -> Path | None:
    return next((path / name for name in _SETTINGS if (path / name).is_file()), None)


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of OpenMOSS'.

    Raises:
        CheckpointError: a file is missing or damaged, or it is more than a dictionary of one
            activation.
    """
    settings_file = _settings_of(path) or path / _SETTINGS[0]
    check_file(settings_file)
    settings = JsonConfig.read(settings_file)
    sifted = sift(settings.values, LLAMA_SCOPE, settings_file)
    place = _place(settings)
    file = next((path / name for name in _WEIGHTS if (path / name).is_file()), path / _WEIGHTS[0])
    tensors = TensorFile(file, read_tensors(file))
    weights = _weights(tensors, file, settings.word("act_fn", "relu"))
    d_in, d_sae = weights["W_enc"].shape
    norms = torch.ones(d_sae, dtype=torch.float64)
    if settings.flag("sparsity_include_decoder_norm", True):
        norms = row_norms(weights["W_dec"].double())
    subtracts = settings.flag("apply_decoder_bias_to_pre_encoder", False)
    config: dict[str, Any] = {"apply_b_dec_to_input": subtracts}
    learned = "threshold" in weights
    changes: list[str] = []
    config |= _activation(settings, weights, norms, changes)
    kind = settings.word("norm_activation", "none")
    if kind == "token-wise":
        config |= {"normalize_activations": str(InputNorm.CONSTANT_NORM)}
    elif kind == "dataset-wise":
        scale = _scale(settings, tensors, place, d_in, asked)
        measured = {} if learned else {k: v for k, v in weights.items() if k == "threshold"}
        weights = folded_scale(weights, scale, settings_file) | measured
        changes.append(
            f"the factor {scale:g} of the input ({_NORM}) was folded into biases"
            f"{' and thresholds' if learned else ''}"
        )
    elif kind not in ("none", "inference"):
        raise CheckpointError(
            f"{settings_file} normalises activations {kind}, which is not read here: only "
            "dataset-wise, token-wise and none are."
        )
    tensors.refuse_rest()
    facts = {key: v for key, v in settings.values.items() if isinstance(v, (str, int, float))}
    return Parts(
        config,
        weights,
        (file, settings_file),
        place,
        settings_file.name,
        facts,
        tuple(changes),
        unknown=sifted.unknown,
        notes=sifted.notes,
    )


def _place(settings: JsonConfig) -> str:
    """The hook point, of a dictionary that writes where it reads."""
    kind = settings.word("sae_type", "sae")
    ends = settings.need("hook_point_in"), settings.values.get("hook_point_out")
    if kind != "sae" or ends[1] not in (None, ends[0]):
        raise CheckpointError(
            f"{settings.path} is a {kind if kind != 'sae' else 'transcoder'} that reads {ends[0]} "
            f"and writes {ends[1]}: it is no dictionary of either."
        )
    return str(ends[0])


def _weights(tensors: TensorFile, file: Path, activation: str) -> dict[str, Tensor]:
    if "W_E" in tensors:
        weights = {"W_enc": tensors.take("W_E"), "W_dec": tensors.take("W_D")}
    else:
        weights = {
            "W_enc": tensors.take("encoder.weight").T.contiguous(),
            "W_dec": tensors.take("decoder.weight").T.contiguous(),
        }
    if weights["W_enc"].dim() != 2:
        raise CheckpointError(
            f"The encoder in {file} has shape {list(weights['W_enc'].shape)}: only a matrix, of "
            "one activation, is understood."
        )
    d_in, d_sae = weights["W_enc"].shape
    for role, names, size in (
        ("b_enc", ("b_E", "encoder.bias"), d_sae),
        ("b_dec", ("b_D", "decoder.bias"), d_in),
    ):
        there = any(name in tensors for name in names)
        weights[role] = tensors.take(*names) if there else torch.zeros(size)
    log_thresholds = ("log_jumprelu_threshold", "activation_function.log_jumprelu_threshold")
    if activation == "jumprelu" and any(name in tensors for name in log_thresholds):
        weights["threshold"] = tensors.take(*log_thresholds).double().exp()
    return weights


def _activation(
    settings: JsonConfig, weights: dict[str, Tensor], norms: Tensor, changes: list[str]
) -> dict[str, Any]:
    """What the configuration says of the nonlinearity; thresholds become those of f itself."""
    name = settings.word("act_fn", "relu")
    if name == "relu":
        weights.pop("threshold", None)
        return {"architecture": "standard"}
    if name == "jumprelu":
        threshold = weights.get("threshold")
        if threshold is None:
            one = float(settings.need("jump_relu_threshold"))
            threshold = torch.full_like(norms, one)
        # n_f * pre > threshold is pre > threshold / n_f.
        weights["threshold"] = threshold.double() / norms
        return {"architecture": "jumprelu"}
    if name == "topk":
        if not torch.allclose(norms, torch.ones_like(norms)):
            weights["W_dec"] = weights["W_dec"].double() / norms[:, None]
            weights["W_enc"] = weights["W_enc"].double() * norms
            weights["b_enc"] = weights["b_enc"].double() * norms
            changes.append(
                "decoder rows were brought to norm 1, and their features scaled to match"
            )
        return {"architecture": "topk", "k": settings.size("top_k")}
    raise CheckpointError(
        f"{settings.path} has the activation {name!r}: only relu, jumprelu and topk are read."
    )


def _scale(settings: JsonConfig, tensors: TensorFile, place: str, d_in: int, asked: Asked) -> float:
    """s, from the mean norm of an activation in training: the settings, later the weights have it.

    Raises:
        CheckpointError: neither has it, and SAELens' list of releases was not asked.
    """
    said, listed = settings.values.get(_NORM), asked.overrides.get(LISTED_FACTOR)
    if isinstance(said, dict) and isinstance(said.get("in"), (int, float)):
        return math.sqrt(d_in) / float(said["in"])
    if (name := f"{_NORM}.{place}") in tensors:
        return math.sqrt(d_in) / float(tensors.take(name))
    if isinstance(listed, (int, float)):
        return float(listed)
    raise CheckpointError(
        f"{settings.path} scales activations by the data's average norm, but gives no {_NORM}: add "
        f'"{_NORM}": {{"in": NUMBER}} there.'
    )
