"""Dictionaries on disk: `cfg.json` and `sae_weights.safetensors`, the SAELens 6 format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_core.atomic import atomic_file
from sae_core.checksum import folder_checksum
from sae_core.dictionary import (
    Dictionary,
    JumpReLUDictionary,
    NeuronBasis,
    StandardDictionary,
    TopKDictionary,
)
from sae_core.errors import CheckpointError

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"


def save_dictionary(
    dictionary: Dictionary, folder: Path, dtype: torch.dtype = torch.float32
) -> None:
    """Write a dictionary so that SAELens 6 opens it."""
    config: dict[str, Any] = {
        "architecture": dictionary.architecture,
        "d_in": dictionary.d_in,
        "d_sae": dictionary.d_sae,
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.apply_b_dec_to_input,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"hook_name": dictionary.hook_point},
    }
    if isinstance(dictionary, TopKDictionary):
        config["k"] = dictionary.k
        config["rescale_acts_by_decoder_norm"] = dictionary.rescale_acts_by_decoder_norm
    weights = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in dictionary.named_parameters()
    }
    with atomic_file(folder / WEIGHTS) as draft:
        save_file(weights, draft)
    with atomic_file(folder / CONFIG) as draft:
        draft.write_text(json.dumps(config, indent=2) + "\n")


def load_dictionary(
    folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Dictionary:
    """Read a dictionary in the SAELens 6 format, without unpickling anything.

    Raises:
        CheckpointError: a file is missing or damaged, a shape disagrees with the configuration, or
            the architecture is not one of ours.
    """
    config = _read_config(folder)
    dictionary = _build(config, folder)
    weights = _read_weights(folder)
    expected = {name: tuple(p.shape) for name, p in dictionary.named_parameters()}
    for name, shape in expected.items():
        if name not in weights:
            raise CheckpointError(f"{folder / WEIGHTS} lacks the tensor {name}.")
        if tuple(weights[name].shape) != shape:
            raise CheckpointError(
                f"{name} in {folder / WEIGHTS} has shape {list(weights[name].shape)}, "
                f"but {CONFIG} asks for {list(shape)}."
            )
        if not bool(torch.isfinite(weights[name]).all()):
            raise CheckpointError(f"{name} in {folder / WEIGHTS} holds NaN or infinity.")
    if extra := sorted(set(weights) - set(expected)):
        raise CheckpointError(f"{folder / WEIGHTS} holds tensors not understood: {extra}.")
    dictionary.load_state_dict(weights)
    return dictionary.to(device=device, dtype=dtype).requires_grad_(False).eval()


def dictionary_checksum(folder: Path) -> str:
    """SHA-256 over the dictionary's configuration and weights."""
    return folder_checksum(folder, (CONFIG, WEIGHTS))


def neuron_basis(hook_point: str, d_in: int) -> NeuronBasis:
    """The identity dictionary at a hook point of width `d_in`."""
    return NeuronBasis(hook_point, d_in)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} is no dictionary: it has no {CONFIG}.") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a JSON object.")
    return config


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} has no {WEIGHTS}: copy it there again.") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is damaged or incomplete ({error}): copy it there again."
        ) from error


def _build(config: dict[str, Any], folder: Path) -> Dictionary:
    def need(key: str) -> Any:
        if key not in config:
            raise CheckpointError(f"{folder / CONFIG} does not give {key!r}.")
        return config[key]

    def size(key: str) -> int:
        value = need(key)
        if isinstance(value, float) and value.is_integer():  # SAELens may write k as 32.0
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(
                f"{key} in {folder / CONFIG} is {value!r}, not a positive number."
            )
        return value

    normalisation = config.get("normalize_activations", "none")
    if normalisation not in ("none", "expected_average_only_in"):
        raise CheckpointError(
            f"{folder / CONFIG} normalises activations by {normalisation!r}, which depends on the "
            "input and is not supported: fold a fixed scale into the weights and say 'none'."
        )
    metadata = config.get("metadata")
    hook_point = metadata.get("hook_name") if isinstance(metadata, dict) else None
    if not isinstance(hook_point, str):
        raise CheckpointError(f"{folder / CONFIG} does not give metadata.hook_name.")
    d_in, d_sae = size("d_in"), size("d_sae")
    subtract = bool(config.get("apply_b_dec_to_input", True))
    match need("architecture"):
        case "standard":
            return StandardDictionary(hook_point, d_in, d_sae, subtract)
        case "jumprelu":
            return JumpReLUDictionary(hook_point, d_in, d_sae, subtract)
        case "topk":
            rescale = bool(config.get("rescale_acts_by_decoder_norm", False))
            return TopKDictionary(hook_point, d_in, d_sae, size("k"), subtract, rescale)
        case other:
            raise CheckpointError(
                f"{folder} has the unknown architecture {other!r}: use standard, topk or jumprelu."
            )
