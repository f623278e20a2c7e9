"""SAELens, version 6 and those before it: `cfg.json` and `sae_weights.safetensors`.

Settings of before version 6 are brought to its terms as SAELens does on loading
(`handle_pre_6_0_config` and `read_sae_components_from_disk` in its pretrained_sae_loaders.py), and
the finetuned scale of its versions 3 to 5, x_hat = (f * scaling_factor) W_dec + b_dec, is folded
into W_dec, which leaves activations as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_core.dictionaries.checkpoint import (
    CONFIG,
    FIXED_SCALE,
    WEIGHTS,
    dictionary_files,
    later_weights,
    rounded,
    trained_on,
    with_centring,
)
from sae_core.dictionaries.formats import llama_scope
from sae_core.dictionaries.formats.parts import (
    LISTED_FACTOR,
    Asked,
    Parts,
    TensorFile,
    both_signs,
    folded_scale,
)
from sae_core.dictionaries.normalised import InputNorm, normalised_transcoder
from sae_core.dictionaries.settings import SAELENS, sift
from sae_core.errors import CheckpointError
from sae_core.files.json_config import JsonConfig
from sae_core.files.weight_files import check_file, read_tensors

_BIASES = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
    "abstopk": ("b_enc",),
    "matching_pursuit": (),
}
_BIASES |= {  # transcoders, each with or without a skip connection
    f"{kind}{skip}transcoder": (*biases, *(("W_skip",) if skip else ()))
    for kind, biases in (
        ("", _BIASES["standard"]),
        ("jumprelu_", _BIASES["jumprelu"]),
        ("topk_", _BIASES["topk"]),  # ours alone
    )
    for skip in ("", "skip_")
}
_ACTIVATIONS = ("relu", "topk")
_OWN_SETTINGS = ("residual_threshold", "max_iterations", "stop_on_duplicate_support")
_TEMPORAL = ("conf.yaml", "latest_ckpt.safetensors")  # as their authors publish those
_IN_TRAINING = ("batchtopk", "matryoshka_batchtopk")
SCALER = "activation_scaler.json"
_SAID = ("model_name", "dataset_path", "context_size", "prepend_bos", "sae_lens_version")


def recognise(path: Path) -> bool:
    """Whether that is a folder of SAELens, whole or not."""
    if (path / WEIGHTS).exists():
        return not llama_scope.recognise(path)  # which has a file of that name as well
    if all((path / name).is_file() for name in _TEMPORAL):
        return True
    if not (path / CONFIG).is_file() or (path / "sae.safetensors").exists():
        return False
    try:
        values = JsonConfig.read(path / CONFIG).values
    except CheckpointError:
        return False
    return "d_sae" in values or "hook_point" in values


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of SAELens.

    Raises:
        CheckpointError: a file is missing or damaged, or it is of a kind not supported here.
    """
    if all((path / name).is_file() for name in _TEMPORAL):
        raise _temporal(path)
    check_file(path / CONFIG)
    stored = JsonConfig.read(path / CONFIG)
    sifted = sift(stored.values, SAELENS, stored.path)
    values = _modern(_overridden(stored.values, asked.overrides))
    architecture = _architecture(values, stored.path)
    tensors = TensorFile(path / WEIGHTS, read_tensors(path / WEIGHTS))
    weights = {name: tensors.take(name) for name in ("W_dec", "b_dec")}
    if architecture != "matching_pursuit":  # whose encoder is its decoder
        weights["W_enc"] = tensors.take("W_enc")
    weights |= {name: tensors.take(name) for name in _BIASES[architecture]}
    tensors.drop("sparsity")
    changes: list[str] = []
    for name in ("scaling_factor", "finetuning_scaling_factor"):
        if name not in tensors:
            continue
        factor = tensors.take(name)
        if torch.allclose(factor, torch.ones_like(factor)):
            continue
        if not values.get("finetuning_scaling_factor"):
            raise CheckpointError(
                f"{path / WEIGHTS} has a {name} other than 1, but {CONFIG} says nothing of "
                "finetuning: set finetuning_scaling_factor there to true if it belongs."
            )
        weights["W_dec"] = factor.double()[:, None] * weights["W_dec"]
        changes.append(f"the finetuned {name} of each feature was folded into its decoder row")
    tensors.refuse_rest()
    later = later_weights(path, stored.values)
    weights = rounded(weights | later, values.get("dtype"))
    norm = str(values["normalize_activations"])
    if norm == FIXED_SCALE:
        if architecture == "matching_pursuit":
            raise CheckpointError(
                f"{stored.path} says normalize_activations = {norm}: of matching pursuit only "
                "dictionaries are read in whose weights the factor is."
            )
        if "transcoder" not in architecture:
            weights, norm = _without_fixed_scale(weights, path, asked, changes)
        elif asked.norm == str(InputNorm.NONE):  # the user knows that it is in the weights
            norm = asked.norm
        else:
            raise CheckpointError(normalised_transcoder(norm))
    config = {key: values[key] for key in ("d_in", "d_sae") if values[key] is not None}
    if values.get("d_out") is not None:
        config |= {"d_out": values["d_out"]}
    if architecture == "abstopk":
        weights, change = both_signs(weights)
        changes.append(change)
        architecture = "topk"
        config |= {"d_sae": 2 * config["d_sae"]} if isinstance(config.get("d_sae"), int) else {}
    metadata = values["metadata"]
    place, output = _places(metadata)
    if "transcoder" in architecture:
        _refuse_centring(metadata, place, stored.path)
    config |= {"normalize_activations": with_centring(norm, metadata, place)}
    config |= {"architecture": architecture, "apply_b_dec_to_input": values["apply_b_dec_to_input"]}
    if architecture == "matching_pursuit":
        config |= {key: values[key] for key in _OWN_SETTINGS if key in values}
    if architecture.startswith("topk"):
        config |= {"k": values.get("k")}
        config |= {
            "rescale_acts_by_decoder_norm": values.get("rescale_acts_by_decoder_norm", False)
        }
    return Parts(
        config,
        weights,
        (path / WEIGHTS, *(path / name for name in dictionary_files(path) if name != WEIGHTS)),
        place,
        CONFIG,
        {key: metadata[key] for key in _SAID if _is_plain(metadata.get(key))},
        tuple(changes),
        trained_on(stored.values, metadata),
        sifted.unknown,
        sifted.notes,
        output=output if "transcoder" in architecture else None,
    )


def _places(metadata: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Where it reads and where it writes, as far as that is said."""
    names = [metadata.get(key) for key in ("hook_name", "hook_name_out")]
    read, written = (name if isinstance(name, str) else None for name in names)
    if read is not None and read.endswith(".hook_mlp_in"):
        # The stream before the norm, as TransformerLens calls it; but SAELens writes it for Gemma
        # Scope 2 as well, whose transcoders read what the norm gives.
        inside = str(metadata.get("hf_hook_name") or "").endswith("layernorm.output")
        read = read.replace("hook_mlp_in", "mlp.hook_in" if inside else "hook_resid_mid")
    return read, written


def _refuse_centring(metadata: Mapping[str, Any], place: str | None, path: Path) -> None:
    asked = metadata.get("model_from_pretrained_kwargs")
    centred = isinstance(asked, Mapping) and asked.get("center_writing_weights")
    if centred and place is not None and place.rpartition(".")[2].startswith("hook_resid"):
        raise CheckpointError(
            f"{path} is a transcoder that reads a centred residual stream "
            "(center_writing_weights), which is not read here: use one that reads behind the norm."
        )


def _overridden(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those of a list of releases in their place, wherever a file keeps them."""
    whole = dict(values)
    metadata = whole.get("metadata")
    if isinstance(metadata, dict):
        own = {key: value for key, value in overrides.items() if key not in whole}
        whole["metadata"] = metadata | own
        return whole | {key: value for key, value in overrides.items() if key in values}
    return whole | dict(overrides)


def _without_fixed_scale(
    weights: dict[str, Tensor], path: Path, asked: Asked, changes: list[str]
) -> tuple[dict[str, Tensor], str]:
    """Weights in the model's units, of a dictionary that was trained on activations times a factor.

    SAELens writes `none` once the factor is in the weights: this is the state of a running
    training, which keeps it in a file beside.

    Raises:
        CheckpointError: it is not there, and the user does not say what is to be done.
    """
    file = path / SCALER
    if file.is_file():
        scaler = JsonConfig.read(file)
        factor = scaler.values.get("scaling_factor")
        if isinstance(factor, (int, float)) and not isinstance(factor, bool):
            changes.append(
                f"the factor {factor:g} of the input ({SCALER}) was folded into biases and "
                "thresholds"
            )
            return folded_scale(weights, float(factor), file), str(InputNorm.NONE)
    listed = asked.overrides.get(LISTED_FACTOR)
    if isinstance(listed, (int, float)):
        changes.append(
            f"the factor {listed:g} of the input (SAELens' list of releases) was folded into biases"
        )
        return folded_scale(weights, float(listed), path / CONFIG), str(InputNorm.NONE)
    if asked.norm is None:
        raise CheckpointError(
            f"{path / CONFIG} says normalize_activations = {FIXED_SCALE}: it was trained on "
            f"activations times a factor that is not in its weights yet, and {SCALER}, which has "
            f"the factor, is not beside it. Give --normalise {FIXED_SCALE} to take the factor from "
            "your text, or --normalise none if you know that it is in the weights."
        )
    return weights, str(InputNorm.NONE)


def _modern(old: dict[str, Any]) -> dict[str, Any]:
    """Settings in the terms of version 6."""
    values = dict(old)
    for before, since in (("hook_point", "hook_name"), ("activation_fn_str", "activation_fn")):
        if before in values:
            values[since] = values.pop(before)
    metadata = values.get("metadata")
    if not isinstance(metadata, dict):
        values["metadata"] = metadata = {key: v for key, v in values.items() if key != "metadata"}
        if isinstance(name := metadata.get("hook_name"), str):
            layer = values.get("hook_point_layer", values.get("hook_layer", ""))
            metadata["hook_name"] = name.replace("{layer}", str(layer))
    values.setdefault("architecture", "standard")
    is_transcoder = "transcoder" in str(values["architecture"])
    values.setdefault("apply_b_dec_to_input", not is_transcoder)
    values.setdefault("d_in", None)
    values.setdefault("d_sae", None)
    chosen = values.get("activation_fn_kwargs")
    if values.get("activation_fn") == "topk":
        k = chosen.get("k") if isinstance(chosen, dict) else None
        k = values.get("k") if k is None else k
        if k is not None:
            values |= {"architecture": "topk", "k": k}
    norm = values.get("normalize_activations")
    if isinstance(norm, bool) or norm is None:  # true: a fixed scale, before it had a name
        values["normalize_activations"] = FIXED_SCALE if norm else "none"
    return values


def _architecture(values: dict[str, Any], path: Path) -> str:
    """The architecture, known to be one that can be read.

    Raises:
        CheckpointError: it is not, or a part of it is not understood.
    """
    architecture = values["architecture"]
    if architecture in _IN_TRAINING:
        raise CheckpointError(
            f"{path.parent} is a checkpoint of a running training ({architecture}), which chooses "
            "among the tokens of a batch: use the folder that the finished training wrote, in "
            "which it is a jumprelu."
        )
    if architecture == "temporal":
        raise _temporal(path.parent)
    if architecture not in _BIASES:
        raise CheckpointError(
            f"{path} is of the architecture {architecture!r}, which is not read here: use one of "
            f"{', '.join(_BIASES)}."
        )
    activation = values.get("activation_fn") or "relu"
    if activation not in _ACTIVATIONS:
        raise CheckpointError(
            f"{path} has the activation {activation!r}: only {' and '.join(_ACTIVATIONS)} are "
            "understood."
        )
    if activation == "topk" and architecture != "topk":
        raise CheckpointError(
            f"{path} has the activation topk, but does not say how many features a token keeps: "
            'add "activation_fn_kwargs": {"k": NUMBER} there.'
        )
    written = values["metadata"].get("hook_name_out")
    moves = written is not None and written != values["metadata"].get("hook_name")
    if moves and "transcoder" not in architecture:
        raise CheckpointError(
            f"{path} reads {values['metadata'].get('hook_name')} and writes {written}, and says "
            f"that it is {architecture}, not a transcoder: which of the two is true?"
        )
    return str(architecture)


def _temporal(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is a temporal dictionary, whose features depend, by attention, on all tokens "
        "before: dictionaries here are given the activation of one token. Use one of another "
        "architecture."
    )


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool))
