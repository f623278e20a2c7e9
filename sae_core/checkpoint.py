"""Dictionaries on disk: `cfg.json` and `sae_weights.safetensors`, the SAELens 6 format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_core.architectures import dictionary_classes
from sae_core.architectures.neurons import NeuronBasis
from sae_core.atomic import atomic_file
from sae_core.checksum import folder_checksum
from sae_core.dictionary import Dictionary
from sae_core.errors import CheckpointError
from sae_core.json_config import JsonConfig

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
    config |= dictionary.own_config()
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
    dictionary = _build(JsonConfig.read(folder / CONFIG))
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


def _build(config: JsonConfig) -> Dictionary:
    normalisation = config.word("normalize_activations", "none")
    if normalisation not in ("none", "expected_average_only_in"):
        raise CheckpointError(
            f"{config.path} normalises activations by {normalisation!r}, which depends on the "
            "input and is not supported: fold a fixed scale into the weights and say 'none'."
        )
    metadata = config.values.get("metadata")
    hook_point = metadata.get("hook_name") if isinstance(metadata, dict) else None
    if not isinstance(hook_point, str):
        raise CheckpointError(f"{config.path} does not give metadata.hook_name.")
    known = dictionary_classes()
    architecture = config.need("architecture")
    if architecture not in known or architecture == NeuronBasis.architecture:
        names = ", ".join(name for name in known if name != NeuronBasis.architecture)
        raise CheckpointError(
            f"{config.path.parent} has the unknown architecture {architecture!r}: "
            f"use one of {names}."
        )
    return known[architecture].from_config(hook_point, config)
