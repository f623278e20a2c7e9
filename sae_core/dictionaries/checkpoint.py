"""Dictionaries on disk: `cfg.json` and `sae_weights.safetensors`, the SAELens 6 format.

What one layer of a cross-layer transcoder writes into later blocks lies in a file of its own,
`later_weights.safetensors`, because SAELens, which knows no such thing, opens the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sae_core.dictionaries.architectures import dictionary_classes
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.dictionary import Dictionary, TrainedOn, output_of
from sae_core.dictionaries.normalised import InputNorm, NormalisedDictionary
from sae_core.dictionaries.settings import SAELENS, sift
from sae_core.errors import CheckpointError
from sae_core.files.atomic import atomic_file
from sae_core.files.checksum import folder_checksum
from sae_core.files.json_config import JsonConfig
from sae_core.files.memory import check_memory
from sae_core.files.weight_files import check_is_weights, read_tensors

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
LATER_WEIGHTS = "later_weights.safetensors"
LATER = "W_later"  # its only tensor
# z = s x with s = sqrt(d_in) / mean ||x||. In a file it means that s is not in the weights yet.
FIXED_SCALE = "expected_average_only_in"
_STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out")
_ROUNDED = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_OURS_BEFORE = {"device", "reshape_activations"}


def save_dictionary(
    dictionary: Dictionary, folder: Path, dtype: torch.dtype = torch.float32
) -> None:
    """Write a dictionary so that SAELens 6 opens it."""
    core = _core(dictionary)
    norm = dictionary.norm if isinstance(dictionary, NormalisedDictionary) else InputNorm.NONE
    metadata: dict[str, Any] = {
        "hook_name": dictionary.hook_point,
        "prepend_bos": dictionary.trained_on.prepend_bos,
    }
    if dictionary.trained_on.context_size is not None:
        metadata["context_size"] = dictionary.trained_on.context_size
    if dictionary.is_transcoder:
        metadata["hook_name_out"] = dictionary.output_hook_point
    if norm is InputNorm.CENTRED:  # as SAELens says it
        metadata["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
        norm = InputNorm.NONE
    config: dict[str, Any] = {
        "architecture": dictionary.architecture,
        "d_in": dictionary.d_in,
        "d_sae": dictionary.d_sae,
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.apply_b_dec_to_input,
        "normalize_activations": str(norm),
        "reshape_activations": "none",
        "metadata": metadata,
    }
    if dictionary.is_transcoder:
        config["d_out"] = dictionary.d_out
    config |= core.own_config()
    weights = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in core.named_parameters()
    }
    if LATER in weights:
        config["later_blocks"] = len(weights[LATER])
        with atomic_file(folder / LATER_WEIGHTS) as draft:
            save_file({LATER: weights.pop(LATER)}, draft)
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
    config = JsonConfig.read(folder / CONFIG)
    metadata = config.values.get("metadata")
    hook_point = metadata.get("hook_name") if isinstance(metadata, dict) else None
    if not isinstance(hook_point, str) or not isinstance(metadata, dict):
        raise CheckpointError(f"{config.path} does not give metadata.hook_name.")
    sift(config.values, SAELENS, config.path)
    if config.values.get("normalize_activations") in (FIXED_SCALE, True):
        raise CheckpointError(
            f"{config.path} says normalize_activations = {FIXED_SCALE}: a factor of the input is "
            "not in its weights yet. `featurescope add` puts it there."
        )
    path = folder / WEIGHTS
    weights = read_tensors(path) | later_weights(folder, config.values)
    _check_sizes(weights, config, path)
    norm = with_centring(config.word("normalize_activations", "none"), metadata, hook_point)
    config.values["normalize_activations"] = norm
    weights = rounded(weights, config.values.get("dtype"))
    dictionary = filled(empty_dictionary(hook_point, config), weights, path, device, dtype)
    dictionary.trained_on = trained_on(config.values, metadata)
    return dictionary


def later_weights(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a dictionary of these settings writes into later blocks, W_later; {} where it does not.

    Raises:
        CheckpointError: the file is missing or damaged, or holds anything else.
    """
    if not config.get("later_blocks"):
        return {}
    tensors = read_tensors(folder / LATER_WEIGHTS)
    if tensors.keys() != {LATER}:
        raise CheckpointError(
            f"{folder / LATER_WEIGHTS} holds {', '.join(sorted(tensors)) or 'nothing'}, where "
            f"{LATER} was expected."
        )
    return tensors


def trained_on(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> TrainedOn:
    """What SAELens' settings and metadata say of the text that a dictionary was trained on."""
    if set(metadata) == {"hook_name"} and set(config) >= _OURS_BEFORE:
        return TrainedOn(prepend_bos=True)  # Featurescope's own, of before it said so
    prepend_bos, size = metadata.get("prepend_bos"), metadata.get("context_size")
    whole = isinstance(size, int) and not isinstance(size, bool) and size > 0
    return TrainedOn(
        prepend_bos if isinstance(prepend_bos, bool) else None, size if whole else None
    )


def with_centring(norm: str, metadata: Mapping[str, Any], hook_point: Any) -> str:
    """A normalisation, of a dictionary that may have been trained on a centred residual stream.

    TransformerLens takes the mean over d_model off the stream by `center_writing_weights`. Heads
    and neurons read the stream through a norm that takes it off anyway: nothing changes there.

    Raises:
        CheckpointError: the model was changed in a way that cannot be done again here.
    """
    asked = metadata.get("model_from_pretrained_kwargs")
    if not isinstance(asked, Mapping) or not isinstance(hook_point, str):
        return norm
    kind = hook_point.rpartition(".")[2]
    if kind == "hook_z":
        for key in ("fold_value_biases", "refactor_factored_attn_matrices"):
            if asked.get(key):
                raise CheckpointError(
                    f"It was trained on heads' outputs of a model changed by {key}, which this "
                    "one's are not: use a dictionary of another hook point, or one that was "
                    f"trained without {key}."
                )
    if not asked.get("center_writing_weights") or kind not in _STREAM:
        return norm
    if norm == InputNorm.CONSTANT_NORM:
        raise CheckpointError(
            "It was trained on activations that were centred and then scaled to one norm "
            "(center_writing_weights with constant_norm_rescale), which is not read here."
        )
    return str(InputNorm.CENTRED) if norm == InputNorm.NONE else norm


def rounded(weights: Mapping[str, Tensor], dtype: Any) -> dict[str, Tensor]:
    """Weights as a dictionary of that dtype computes with them, whatever its file holds.

    SAELens keeps the thresholds of a bfloat16 dictionary in float32, and rounds them on loading.
    """
    low = _ROUNDED.get(str(dtype).removeprefix("torch."))
    if low is None:
        return dict(weights)
    return {name: tensor.to(low).to(tensor.dtype) for name, tensor in weights.items()}


def empty_dictionary(hook_point: str, config: JsonConfig) -> Dictionary:
    """A dictionary as a SAELens 6 configuration describes it, its weights still 0.

    Raises:
        CheckpointError: the architecture or the normalisation is not one of ours.
    """
    known = dictionary_classes()
    architecture = config.need("architecture")
    if (output := output_of(config)) is not None and output.later_blocks:
        n = config.size("d_sae") * (config.size("d_in") + (1 + output.later_blocks) * output.d_out)
        needed = n * torch.get_default_dtype().itemsize
        check_memory(config.path.parent, needed, "take a layer that writes into fewer blocks")
    ours = isinstance(architecture, str) and architecture in known
    if not ours or architecture == NeuronBasis.architecture:
        names = ", ".join(name for name in known if name != NeuronBasis.architecture)
        raise CheckpointError(
            f"{config.path.parent} has the unknown architecture {architecture!r}: "
            f"use one of {names}."
        )
    dictionary = known[architecture].from_config(hook_point, config)
    norm = _norm(config)
    return dictionary if norm is InputNorm.NONE else NormalisedDictionary(dictionary, norm)


def filled(
    dictionary: Dictionary,
    weights: Mapping[str, Tensor],
    path: Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Dictionary:
    """That dictionary with these weights, which were read from `path`.

    Raises:
        CheckpointError: a tensor is missing, too much, of another shape or not finite.
    """
    core = _core(dictionary)
    expected = {name: tuple(p.shape) for name, p in core.named_parameters()}
    for name, shape in expected.items():
        if name not in weights:
            raise CheckpointError(f"{path} lacks the tensor {name}.")
        _check_shape(name, weights, shape, path)
        check_is_weights(name, weights[name], path)
        parts = weights[name] if name == LATER else weights[name][None]  # one block at a time
        if not all(bool(torch.isfinite(part).all()) for part in parts):
            raise CheckpointError(f"{name} in {path} holds NaN or infinity.")
    if extra := sorted(set(weights) - set(expected)):
        raise CheckpointError(f"{path} holds tensors not understood: {extra}.")
    core.to(dtype)  # before, so that nothing is rounded on the way
    core.load_state_dict(weights)
    return dictionary.to(device=device).requires_grad_(False).eval()


def dictionary_files(folder: Path) -> tuple[str, ...]:
    """Names of the files that a dictionary consists of."""
    later = (LATER_WEIGHTS,) if (folder / LATER_WEIGHTS).is_file() else ()
    return (CONFIG, WEIGHTS, *later)


def dictionary_checksum(folder: Path) -> str:
    """SHA-256 over the dictionary's configuration and weights."""
    return folder_checksum(folder, dictionary_files(folder))


def neuron_basis(hook_point: str, d_in: int) -> NeuronBasis:
    """The identity dictionary at a hook point of width `d_in`."""
    return NeuronBasis(hook_point, d_in)


def _check_sizes(weights: Mapping[str, Tensor], config: JsonConfig, path: Path) -> None:
    """Refuse sizes that the matrices do not have, before anything of such a size is allocated."""
    d_in, d_sae, output = config.size("d_in"), config.size("d_sae"), output_of(config)
    d_out = d_in if output is None else output.d_out
    for name, shape in (("W_enc", (d_in, d_sae)), ("W_dec", (d_sae, d_out))):
        if name in weights:
            _check_shape(name, weights, shape, path)
        elif name == "W_dec" or output is not None:  # an autoencoder's encoder may be its decoder
            raise CheckpointError(f"{path} lacks the tensor {name}.")
    if LATER in weights and output is not None:
        later = (output.later_blocks, d_sae, d_out)
        _check_shape(LATER, weights, later, path.with_name(LATER_WEIGHTS))


def _check_shape(
    name: str, weights: Mapping[str, Tensor], shape: tuple[int, ...], path: Path
) -> None:
    if tuple(weights[name].shape) != shape:
        raise CheckpointError(
            f"{name} in {path} has shape {list(weights[name].shape)}, but its settings ask for "
            f"{list(shape)}: use the settings and the tensors of one dictionary."
        )


def _core(dictionary: Dictionary) -> Dictionary:
    return dictionary.inner if isinstance(dictionary, NormalisedDictionary) else dictionary


def _norm(config: JsonConfig) -> InputNorm:
    name = config.word("normalize_activations", "none")
    try:
        return InputNorm(name)
    except ValueError as error:
        raise CheckpointError(
            f"{config.path} normalises activations by {name!r}, which is not known here: fold it "
            "into the weights and say 'none'."
        ) from error
