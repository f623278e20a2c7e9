"""Any file of tensors, with the names of its tensors given by hand.

A mapping has entries such as `W_enc=encoder.weight.T`: a role, and the tensor that plays it, `.T`
for its transpose. Roles are SAELens' names: W_enc [d_in, d_sae], W_dec [d_sae, d_in], b_enc,
b_dec, threshold, b_gate, b_mag, r_mag. Biases that are not named are 0; a W_dec that is not named
is the transpose of W_enc. Besides tensors there are settings: `architecture`, `k`,
`apply_b_dec_to_input` and `normalize_activations`, with SAELens' values, and `ignore`, names of
tensors that are left out on purpose. Tensors that lie deeper in a file have all names on the way,
such as `state_dict.encoder.weight`.

A fixed normalisation of the input, z = (x - input_mean) * input_scale, is two more roles, each a
tensor or a number, and is folded into the weights (in float64), so that activations and decoder
rows are in the model's own units:

    f = f_z / input_scale:  biases and thresholds are divided by input_scale,
    b_dec = b_dec / input_scale + input_mean,
    b_enc -= input_mean W_enc  where b_dec is not subtracted from the input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_core.dictionaries.formats.parts import Asked, Parts, transposed
from sae_core.errors import CheckpointError
from sae_core.files.weight_files import check_is_weights, read_pickle, read_tensors

_MATRICES = ("W_enc", "W_dec")
_BIASES = ("b_enc", "threshold", "b_gate", "b_mag", "r_mag")
_INPUT = ("input_mean", "input_scale")
_SETTINGS = ("architecture", "k", "apply_b_dec_to_input", "normalize_activations", "ignore")
# Names of tensors that make another architecture of a dictionary, or scale what it reads.
_TELLING = re.compile(r"(?i)threshold|gate|r_mag|b_mag|mag_bias|scaling|norm_factor|log_theta")
ROLES = (*_MATRICES, "b_dec", *_BIASES, *_INPUT, *_SETTINGS)
_OWN = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
_SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".bin")


def recognise(path: Path) -> bool:
    """Never: nothing in such a file says what is what."""
    del path
    return False


def parse_mapping(entries: list[str]) -> dict[str, str]:
    """Entries `role=tensor` as a mapping.

    Raises:
        CheckpointError: an entry has no `=`, or its role does not exist or comes twice.
    """
    mapping: dict[str, str] = {}
    for entry in entries:
        role, _, name = entry.partition("=")
        if not name or role not in ROLES:
            raise CheckpointError(
                f"--tensor takes ROLE=NAME, such as W_enc=encoder.weight.T, and not {entry!r}: the "
                f"roles are {', '.join(ROLES)}."
            )
        if role in mapping:
            raise CheckpointError(f"{role} is given twice: {mapping[role]} and {name}.")
        mapping[role] = name
    return mapping


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary from a file of tensors.

    Raises:
        CheckpointError: the file is damaged, a tensor that the mapping names is not there, or the
            mapping leaves open what is needed.
    """
    mapping = asked.mapping
    file = only_file(path)
    if file is None:
        raise CheckpointError(
            f"{path} is not one file of tensors ({', '.join(_SUFFIXES)}): give one."
        )
    stored = tensors_in(file)
    if "W_enc" not in mapping:
        raise CheckpointError(
            f"Say which tensor of {file} is which, for example --tensor W_enc=encoder.weight.T: "
            f"it has {listed(stored)}."
        )
    architecture = mapping.get("architecture", _guess(mapping))
    if architecture not in _OWN:
        raise CheckpointError(
            f"There is no architecture {architecture!r}: use one of {', '.join(_OWN)}."
        )
    W_enc = _named(stored, mapping["W_enc"], file)
    if W_enc.dim() != 2:
        raise CheckpointError(f"{mapping['W_enc']} in {file} is no matrix.")
    d_in, d_sae = W_enc.shape
    weights = {"W_enc": W_enc}
    weights["W_dec"] = (
        _named(stored, mapping["W_dec"], file) if "W_dec" in mapping else W_enc.T.contiguous()
    )
    for role in ("b_dec", *_OWN[architecture]):
        size = d_in if role == "b_dec" else d_sae
        weights[role] = _vector(stored, mapping.get(role), size, W_enc, file)
    subtract = mapping.get("apply_b_dec_to_input", "true").lower()
    if subtract not in ("true", "false"):
        raise CheckpointError(f"apply_b_dec_to_input is {subtract!r}: say true or false.")
    config: dict[str, Any] = {
        "architecture": architecture,
        "apply_b_dec_to_input": subtract == "true",
        "normalize_activations": mapping.get("normalize_activations", "none"),
    }
    if architecture == "topk":
        config["k"] = _whole(mapping.get("k"), stored)
    changes: tuple[str, ...] = ()
    if any(role in mapping for role in _INPUT):
        mean = _vector(stored, mapping.get("input_mean"), d_in, W_enc, file).double()
        scale = _vector(stored, mapping.get("input_scale", "1"), 1, W_enc, file).double()
        _fold(weights, mean, scale, config["apply_b_dec_to_input"], file)
        changes = ("the fixed normalisation of the input was folded into the weights",)
    return Parts(
        config,
        weights,
        (file,),
        facts={"mapping": dict(mapping)},
        changes=changes,
        notes=_unnamed(stored, mapping, file),
    )


def _fold(
    weights: dict[str, Tensor], mean: Tensor, scale: Tensor, subtracted: bool, file: Path
) -> None:
    """Undo z = (x - mean) * scale, both float64, inside the weights, as the module says."""
    if scale.numel() != 1:
        raise CheckpointError(
            f"input_scale in {file} has {scale.numel()} numbers: only one for all entries is "
            "understood. Multiply W_enc and divide W_dec by them, and leave it out."
        )
    if not bool(torch.isfinite(scale).all() and (scale > 0).all()):
        raise CheckpointError(f"input_scale in {file} is {scale.tolist()}: it must be above 0.")
    for name in set(weights) & {"b_enc", "threshold", "b_gate", "b_mag", "b_dec"}:
        weights[name] = weights[name].double() / scale
    weights["b_dec"] = weights["b_dec"] + mean
    if subtracted:
        return
    shift = mean @ weights["W_enc"].double()
    if "r_mag" in weights:
        weights["b_gate"] = weights["b_gate"] - shift
        weights["b_mag"] = weights["b_mag"] - shift * weights["r_mag"].double().exp()
    else:
        weights["b_enc"] = weights["b_enc"] - shift


def _guess(mapping: Mapping[str, str]) -> str:
    if "k" in mapping:
        return "topk"
    if "b_gate" in mapping:
        return "gated"
    return "jumprelu" if "threshold" in mapping else "standard"


def only_file(path: Path) -> Path | None:
    """That file of tensors, or the only one in that folder; None where there is no such one."""
    if path.is_file():
        return path if path.suffix in _SUFFIXES else None
    found = [p for p in path.glob("*") if p.suffix in _SUFFIXES]
    return found[0] if len(found) == 1 else None


def tensors_in(file: Path) -> dict[str, Any]:
    """What a file of tensors holds, by name.

    Raises:
        CheckpointError: it is damaged, or would have to be unpickled.
    """
    if file.suffix in (".safetensors", ".npz"):
        return dict(read_tensors(file))
    return dict(_flat(read_pickle(file)))


def _flat(stored: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    """Entries of nested mappings by their whole names, such as `state_dict.encoder.weight`."""
    for name, value in stored.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{inside}{name}.")
        else:
            yield f"{inside}{name}", value


def listed(stored: Mapping[str, Any]) -> str:
    """The names and shapes of tensors, for a sentence."""
    shapes = [f"{n} {list(t.shape)}" for n, t in stored.items() if isinstance(t, Tensor)]
    return ", ".join(sorted(shapes)) or "none"


def _named(stored: Mapping[str, Any], name: str, file: Path) -> Tensor:
    """A tensor by its name, or the transpose of one by its name and `.T`."""
    if name in stored or not name.endswith(".T"):
        tensor = stored.get(name)
    else:
        tensor = stored.get(name.removesuffix(".T"))
        if isinstance(tensor, Tensor):
            check_is_weights(name, tensor, file)
            return transposed(tensor, file, name)
    if not isinstance(tensor, Tensor):
        raise CheckpointError(f"{file} has no tensor {name}: it has {listed(stored)}.")
    check_is_weights(name, tensor, file)
    return tensor


def _vector(
    stored: Mapping[str, Any], name: str | None, size: int, like: Tensor, file: Path
) -> Tensor:
    """A tensor of `size` numbers by its name; 0 where it has none; a number for all of them."""
    if name is None:
        return torch.zeros(size, dtype=like.dtype)
    try:
        return torch.full((size,), float(name), dtype=like.dtype)
    except ValueError:
        tensor = _named(stored, name, file)
    return tensor.expand(size).clone() if tensor.numel() == 1 else tensor


def _whole(value: str | None, stored: Mapping[str, Any]) -> int:
    """A number as it is given, or as the file has it under that name."""
    found = stored.get(value) if value is not None else None
    if isinstance(found, Tensor) and found.numel() == 1:
        found = found.item()
    word = str(found) if isinstance(found, int) and not isinstance(found, bool) else value
    if word is None or not word.isdecimal():
        raise CheckpointError(f"k is {value!r}: give --tensor k=NUMBER, of features a token has.")
    return int(word)


def _unnamed(stored: Mapping[str, Any], mapping: Mapping[str, str], file: Path) -> tuple[str, ...]:
    """What to tell the user of tensors that the mapping leaves out.

    Raises:
        CheckpointError: one of them is by its name a part of another architecture.
    """
    named = {name for value in mapping.values() for name in (value, value.removesuffix(".T"))}
    named |= {name for word in mapping.get("ignore", "").split(",") if (name := word.strip())}
    rest = {
        name: tensor
        for name, tensor in stored.items()
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and name not in named
    }
    telling = [name for name in rest if _TELLING.search(name)]
    if telling:
        raise CheckpointError(
            f"{file} holds {listed({name: rest[name] for name in telling})}, which nobody named "
            "and which would change what the features are: name it (the roles are threshold, "
            "b_gate, b_mag, r_mag), or leave it out on purpose: --tensor "
            f"ignore={','.join(telling)}."
        )
    if not rest:
        return ()
    return (f"Tensors of its file that nobody named, and that are not used: {listed(rest)}.",)
