"""dictionary_learning of Marks, Karvonen and Mueller: `ae.pt` and `config.json`.

Equations (saprmarks/dictionary_learning, dictionary.py and trainers/), as `from_pretrained` and
`encode` have them by default in its newest version:

    AutoEncoder                relu(W_enc (x - bias) + b), decoder rows brought to norm 1
    AutoEncoderNew             relu(W_enc x + b)
    GatedAutoEncoder           1[g > 0] * relu(exp(r_mag) * e + mag_bias), e = W_enc (x - bias)
    AutoEncoderTopK            top_k(relu(W_enc (x - b_dec) + b))
    BatchTopKSAE, Matryoshka…  z * 1[z > threshold], z = relu(W_enc (x - b_dec) + b)
    JumpReluAutoEncoder        relu(z * 1[z > threshold]), z = x W_enc + b_enc

Its `trainSAE` folds the fixed norm of `normalize_activations` into the biases before it saves, but
not into the backups of an interrupted training: those are folded here, as its `scale_biases` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import TrainedOn
from sae_core.dictionaries.formats.parts import Asked, Parts, TensorFile, row_norms, transposed
from sae_core.dictionaries.settings import DICTIONARY_LEARNING, sift
from sae_core.errors import CheckpointError
from sae_core.files.json_config import JsonConfig
from sae_core.files.weight_files import check_file, read_pickle

_CONFIG, _WEIGHTS = "config.json", "ae.pt"
_TOPK = "AutoEncoderTopK"
_THRESHOLD = ("BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder")
_KNOWN = ("AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", _TOPK, *_THRESHOLD)
_BIASES = ("b_enc", "b_dec", "b_gate", "b_mag", "threshold")
_SAID = ("lm_name", "layer", "submodule_name", "trainer_class", "norm_factor", "steps", "lr")


# Which class a trainer trains; up to July 2024 the trainer alone was noted.
_CLASS_OF_TRAINER = {
    "StandardTrainer": "AutoEncoder",
    "StandardTrainerAprilUpdate": "AutoEncoder",
    "PAnnealTrainer": "AutoEncoder",
    "StandardTrainerNew": "AutoEncoderNew",
    "GatedSAETrainer": "GatedAutoEncoder",
    "GatedAnnealTrainer": "GatedAutoEncoder",
    "TrainerTopK": _TOPK,
    "TopKTrainer": _TOPK,
    "BatchTopKTrainer": "BatchTopKSAE",
    "TrainerBatchTopK": "BatchTopKSAE",
    "MatryoshkaBatchTopKTrainer": "MatryoshkaBatchTopKSAE",
    "TrainerJumpRelu": "JumpReluAutoEncoder",
    "JumpReluTrainer": "JumpReluAutoEncoder",
}
_STATE = re.compile(r"ae_\d+\.pt")  # of a running training, in the folder `checkpoints`


def recognise(path: Path) -> bool:
    """Whether that is a folder of dictionary_learning, its `ae.pt`, or one of its checkpoints."""
    if _STATE.fullmatch(path.name):
        return _config_of(path) is not None
    return path.name == _WEIGHTS or (path / _WEIGHTS).exists()


def _config_of(file: Path) -> Path | None:
    """The settings that belong to a file of weights: beside it, or beside its folder."""
    places = [file.parent / _CONFIG, file.parent.parent / _CONFIG]
    return next((place for place in places if place.is_file()), None)


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of dictionary_learning.

    Raises:
        CheckpointError: a file is missing, damaged or would have to be unpickled, or the class is
            not one of those above.
    """
    del asked
    file = path if path.suffix == ".pt" else path / _WEIGHTS
    config_path = _config_of(file) or file.parent / _CONFIG
    check_file(config_path)
    settings = JsonConfig.read(config_path)
    sifted = sift(settings.values, DICTIONARY_LEARNING, config_path)
    trainer = settings.values.get("trainer")
    if not isinstance(trainer, dict):
        raise CheckpointError(f"{settings.path} does not give 'trainer', which names the class.")
    kind = _class_named(trainer, settings.path)
    buffer = settings.values.get("buffer")
    buffer = buffer if isinstance(buffer, dict) else {}
    state = read_pickle(file)
    norm = None
    if isinstance(backup := state.get("ae"), Mapping):
        norm, state = state.get("norm_factor"), dict(backup)
    state = {name.removeprefix("_orig_mod."): value for name, value in state.items()}
    changes: list[str] = []
    tensors = TensorFile(file, state)
    config: dict[str, Any] = {
        "d_in": trainer.get("activation_dim"),
        "d_sae": trainer.get("dict_size"),
    }
    config = {key: value for key, value in config.items() if value is not None}
    config |= _architecture(kind, tensors, trainer, file)
    tensors.drop("k", "group_sizes")
    weights = _weights(kind, tensors, file)
    tensors.refuse_rest()
    if kind == "AutoEncoder" and _normalise_rows(weights):
        changes.append("decoder rows were brought to norm 1, and their features scaled to match")
    if norm is not None:
        scale = float(norm)
        weights |= {name: scale * weights[name].double() for name in _BIASES if name in weights}
        changes.append(
            f"an interrupted training's norm factor {scale:g} was folded into the biases"
        )
    said = {key: trainer[key] for key in _SAID if isinstance(trainer.get(key), (str, int, float))}
    place = _hook_point(trainer, buffer.get("io", "out"))
    return Parts(
        config,
        weights,
        (file, config_path),
        place,
        _CONFIG if place else "",
        {"dict_class": kind} | said,
        tuple(changes),
        _trained_on(buffer),
        sifted.unknown,
        sifted.notes,
    )


def _class_named(trainer: Mapping[str, Any], path: Path) -> str:
    """The dictionary's class, by its own name or that of its trainer.

    Raises:
        CheckpointError: it is none of those that are read.
    """
    kind = trainer.get("dict_class")
    if kind is None:
        made_by = trainer.get("trainer_class")
        kind = _CLASS_OF_TRAINER.get(str(made_by))
        if kind is None:
            raise CheckpointError(
                f"{path} names no dict_class, and the trainer_class {made_by!r} is not known: add "
                f'"dict_class" there, one of {", ".join(_KNOWN)}.'
            )
    if kind not in _KNOWN:
        raise CheckpointError(
            f"{path} names the class {kind!r}, which is not read here: use one of "
            f"{', '.join(_KNOWN)}."
        )
    return str(kind)


def _trained_on(buffer: Mapping[str, Any]) -> TrainedOn:
    """What the buffer of activations says; it tokenizes as the model's own tokenizer does."""
    size = buffer.get("ctx_len")
    return TrainedOn(
        False if buffer.get("add_special_tokens") is False else None,
        size if isinstance(size, int) and size > 0 else None,
    )


def _architecture(
    kind: str, tensors: TensorFile, trainer: Mapping[str, Any], file: Path
) -> dict[str, Any]:
    match kind:
        case "AutoEncoder" | "GatedAutoEncoder":
            name = "standard" if kind == "AutoEncoder" else "gated"
            return {"architecture": name, "apply_b_dec_to_input": True}
        case "AutoEncoderNew":
            return {"architecture": "standard", "apply_b_dec_to_input": False}
        case "AutoEncoderTopK":
            k = int(tensors.take("k")) if "k" in tensors else trainer.get("k")
            if not isinstance(k, int):
                raise CheckpointError(f"Neither {file} nor {_CONFIG} gives k.")
            tensors.drop("threshold")  # its own encode takes the k largest of each token
            return {"architecture": "topk", "apply_b_dec_to_input": True, "k": k}
    return {"architecture": "jumprelu", "apply_b_dec_to_input": kind != "JumpReluAutoEncoder"}


def _weights(kind: str, tensors: TensorFile, file: Path) -> dict[str, Tensor]:
    """Its tensors by the names of SAELens."""
    if "W_enc" in tensors:
        weights = {name: tensors.take(name) for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
    else:
        weights = {
            "W_enc": transposed(tensors.take("encoder.weight"), file, "encoder.weight"),
            "W_dec": transposed(tensors.take("decoder.weight"), file, "decoder.weight"),
            "b_dec": tensors.take("b_dec", "bias", "decoder_bias", "decoder.bias"),
        }
        if kind == "GatedAutoEncoder":
            weights |= {"b_gate": tensors.take("gate_bias"), "b_mag": tensors.take("mag_bias")}
            weights |= {"r_mag": tensors.take("r_mag")}
        else:
            weights |= {"b_enc": tensors.take("encoder.bias")}
    if kind in _THRESHOLD:
        # One for all features where it was learned over batches; -1 before it ever was.
        threshold = tensors.take("threshold")
        weights["threshold"] = threshold.expand(weights["W_enc"].shape[-1]).clone()
    return weights


def _normalise_rows(weights: dict[str, Tensor]) -> bool:
    """As its `normalize_decoder`: unit rows, the same reconstruction. Whether there was need."""
    norms = row_norms(weights["W_dec"].double())
    if torch.allclose(norms, torch.ones_like(norms)):
        return False
    weights["W_dec"] = weights["W_dec"] / norms[:, None]
    weights["W_enc"] = weights["W_enc"] * norms
    weights["b_enc"] = weights["b_enc"] * norms
    return True


def _hook_point(trainer: Mapping[str, Any], end: Any) -> str | None:
    """Where the trainer's notes say; only its residual streams have a name that is sure.

    `end` is which of the block's tensors the buffer kept: what comes "out" of it, or goes "in".
    """
    layer, place = trainer.get("layer"), str(trainer.get("submodule_name") or "")
    kinds = {"out": "hook_resid_post", "in": "hook_resid_pre"}
    if isinstance(layer, int) and place.startswith("resid_post") and end in kinds:
        return f"blocks.{layer}.{kinds[end]}"
    return None
