"""Gemma Scope: `params.npz`, and `params.safetensors` in its second edition.

Equation (google-deepmind, the tutorial notebook of Gemma Scope, class JumpReLUSAE):

    pre = x W_enc + b_enc,    f = 1[pre > threshold] * relu(pre),    y_hat = f W_dec + b_dec,

where y is x, or for a transcoder the MLP's output and x its input. The second edition adds x A to
some transcoders' y_hat (`affine_skip_connection`, stored as [d_in, d_out]). Its cross-layer
transcoders have a file for each layer and w_dec [d_sae, n_layers, d_out]: one layer of those is
read, with what its features write into its own block and into each later one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from sae_core.dictionaries.formats.parts import (
    LAYER_ALONE,
    Asked,
    Parts,
    TensorFile,
    folded_scale,
    over_layers,
)
from sae_core.dictionaries.settings import GEMMA_SCOPE, Sifted, sift
from sae_core.errors import CheckpointError
from sae_core.files.json_config import JsonConfig
from sae_core.files.weight_files import read_tensors, tensor_shapes

_FILES = ("params.npz", "params.safetensors")
_CONFIG = "config.json"
_KIND = re.compile(
    r"(?P<own>transcoder|clt|crosscoder)s?(_all)?|.*gemma-scope.*(?P<whole>transcoder|crosscoder)s?"
)
_OWN_TENSORS = {"w_enc", "w_dec", "b_enc", "b_dec", "threshold"}
# Where the second edition reads and writes, by the module's name within its block.
_MODULES = {
    "output": "hook_resid_post",
    "self_attn.o_proj.input": "attn.hook_z",
    "post_feedforward_layernorm.output": "hook_mlp_out",
    "mlp.output": "mlp.hook_out",
    "input": "hook_resid_pre",
    "pre_feedforward_layernorm.output": "mlp.hook_in",
}
_PLACES = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}
_PLACES |= {"resid_post": "hook_resid_post", "mlp_out": "hook_mlp_out", "attn_out": "attn.hook_z"}


@dataclass(frozen=True)
class _Kind:
    """What a file holds, and where that belongs, as settings or names say.

    Attributes:
        transcodes: whether it predicts another activation than it reads.
        read: the hook point that it reads; None: nobody says.
        written: the one that a transcoder writes; None: nobody says, or it is none.
        source: who says where.
        sifted: what is left to say of its settings.
        facts: what else the settings say.
    """

    transcodes: bool
    read: str | None
    written: str | None = None
    source: str = ""
    sifted: Sifted = field(default_factory=Sifted)
    facts: Mapping[str, Any] = field(default_factory=dict)


def recognise(path: Path) -> bool:
    """Whether that is a folder of Gemma Scope, its file, or what holds its layers."""
    if path.name in _FILES or any((path / name).is_file() for name in _FILES):
        return True
    return _is_layer(path) or bool(_layers(path))


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of Gemma Scope.

    Raises:
        CheckpointError: it is damaged, no JumpReLU coder, or more than one layer.
    """
    path = _file(path)
    settings = _settings_of(path)
    kind = _by_settings(JsonConfig.read(settings), path) if settings else _by_name(path)
    transcodes = kind.transcodes or asked.output_hook_point is not None
    # The second edition writes w_enc and w_dec.
    stored = {re.sub("^w_", "W_", name): t for name, t in read_tensors(path).items()}
    tensors = TensorFile(path, stored)
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    weights: dict[str, Tensor] = {name: tensors.take(name) for name in names}
    if weights["W_enc"].dim() != 2:
        raise CheckpointError(
            f"{path} is a crosscoder's, which reads {len(weights['W_enc'])} layers at once: only "
            "coders that read one activation are understood."
        )
    skip = _take_skip(tensors, weights, transcodes, kind, path)
    tensors.refuse_rest()
    notes, changes = list(kind.sifted.notes), []
    if weights["W_dec"].dim() == 3:
        transcodes = True
        named = _layer_of(path)
        own = _block_of(asked.output_hook_point or kind.written) if named is None else named
        weights |= over_layers(weights["W_dec"], own)
        notes.append(LAYER_ALONE)
    if "/embedding/" in _whole(path) and not transcodes:
        weights = folded_scale(weights, weights["W_enc"].shape[0] ** -0.5, path)
        changes.append(
            "it was trained on embeddings before the model multiplies them by sqrt(d_model), and "
            "that factor was folded into biases and thresholds"
        )
    architecture = f"jumprelu{'_skip' if skip else ''}{'_transcoder' if transcodes else ''}"
    return Parts(
        {"architecture": architecture, "apply_b_dec_to_input": False},
        weights,
        (path, settings) if settings else (path,),
        kind.read,
        kind.source,
        dict(kind.facts),
        tuple(changes),
        unknown=kind.sifted.unknown,
        notes=tuple(notes),
        output=kind.written,
    )


def _file(path: Path) -> Path:
    """The file of weights.

    Raises:
        CheckpointError: it is a folder with the layers of a cross-layer transcoder.
    """
    if path.is_file():
        return path
    own = next((name for name in _FILES if (path / name).is_file()), None)
    if own is None and (layers := _layers(path)):
        raise CheckpointError(
            f"{path} holds {len(layers)} layers of a cross-layer transcoder, and is not one "
            f"dictionary: give the file of one layer, such as {path / layers[0]}."
        )
    return path / (own or _FILES[0])


def _is_layer(path: Path) -> bool:
    """Whether that is the file of one layer of a CLT, which has a name of its own."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    shapes = tensor_shapes(path)
    return set(shapes) >= _OWN_TENSORS and len(shapes["w_dec"]) == 3


def _layers(path: Path) -> list[str]:
    """Names of the files of layers in a folder."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else []
    return [file.name for file in files if _is_layer(file)]


def _settings_of(path: Path) -> Path | None:
    """The settings beside the weights; of one layer they may lie in a folder of its name."""
    places = [path.parent / _CONFIG]
    if path.name not in _FILES:
        places.insert(0, path.with_suffix("") / _CONFIG)
    return next((place for place in places if place.is_file()), None)


def _by_settings(config: JsonConfig, path: Path) -> _Kind:
    """What a file's own settings say, and its names where they say nothing.

    Raises:
        CheckpointError: they name something that is not read here.
    """
    if (architecture := config.values.get("architecture", "jump_relu")) != "jump_relu":
        raise CheckpointError(
            f"{config.path} has the architecture {architecture!r}: only jump_relu is read."
        )
    sifted = sift(config.values, GEMMA_SCOPE, config.path)
    named = _by_name(path)
    kind = config.values.get("type")
    ends = [config.values.get(f"hf_hook_point_{end}") for end in ("in", "out")]
    if kind == "crosscoder" or isinstance(ends[0], list):
        raise _crosscoder(config.path)
    if None not in ends:
        transcodes = ends[0] != ends[1]
    else:
        transcodes = named.transcodes if kind is None else kind != "sae"
    reads, writes = _place_of_module(ends[0]), _place_of_module(ends[1])
    return _Kind(
        transcodes,
        reads or named.read,
        (writes or named.written) if transcodes else None,
        _CONFIG if reads else named.source,
        sifted,
        {key: v for key, v in config.values.items() if isinstance(v, (str, int, float))},
    )


def _by_name(path: Path) -> _Kind:
    """What the names of a file's folders say.

    The rules are those of SAELens (`get_gemma_2_config_from_hf`, `get_gemma_3_config_from_hf`,
    `get_gemma_2_transcoder_config_from_hf`).

    Raises:
        CheckpointError: they say that it is a crosscoder.
    """
    # The folder alone: in the Hub's cache the file is a link to where no name says anything.
    names = path.parent.resolve().parts[-5:]
    kinds = [match["own"] or match["whole"] for n in names if (match := _KIND.fullmatch(n))]
    if "crosscoder" in kinds:
        raise _crosscoder(path)
    layer, whole = _layer_of(path), _whole(path)
    source = "the folders' names"
    if kinds:
        if layer is None:
            return _Kind(True, None)
        # The first edition reads what the norm gives before its weight.
        read = "ln2.hook_normalized" if path.suffix == ".npz" else "mlp.hook_in"
        return _Kind(True, f"blocks.{layer}.{read}", f"blocks.{layer}.hook_mlp_out", source)
    if re.search(r"gemma-scope-\w+-\w+-res/.*embedding/", whole):
        return _Kind(False, "blocks.0.hook_resid_pre", source=source)
    kind = re.search(r"gemma-scope-\w+-\w+-(res|mlp|att)/", whole)
    kind = kind or re.search(r"/(resid_post|mlp_out|attn_out)(?:_all)?/", whole)
    if kind is None or layer is None:
        return _Kind(False, None)
    return _Kind(False, f"blocks.{layer}.{_PLACES[kind[1]]}", source=source)


def _take_skip(
    tensors: TensorFile, weights: dict[str, Tensor], transcodes: bool, kind: _Kind, path: Path
) -> bool:
    """Move the skip connection to its place, where there is one; whether there is.

    Raises:
        CheckpointError: weights and settings disagree on it, or it is no transcoder.
    """
    there = "affine_skip_connection" in tensors
    said = kind.facts.get("affine_connection")
    if said is not None and bool(said) != there:
        raise CheckpointError(
            f"The settings of {path} say affine_connection = {said}, and it "
            f"{'holds' if there else 'lacks'} affine_skip_connection: files of two coders were "
            "mixed."
        )
    if there and not transcodes:
        raise CheckpointError(
            f"{path} has a skip connection, and its settings say that it writes where it reads: a "
            "skip connection is read of transcoders alone."
        )
    if there:
        weights["W_skip"] = tensors.take("affine_skip_connection").T.contiguous()
    return there


def _crosscoder(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} says that this is a crosscoder, which reads several layers at once: only coders "
        "that read one activation are understood."
    )


def _place_of_module(name: Any) -> str | None:
    """The hook point of a module's name such as `model.layers.3.output`."""
    match = re.fullmatch(r"(?:.*\.)?layers\.(\d+)\.(.+)", str(name or ""))
    kind = _MODULES.get(match[2]) if match else None
    return f"blocks.{match[1]}.{kind}" if match and kind else None


def _layer_of(path: Path) -> int | None:
    """From paths like `gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71/params.npz`."""
    match = re.search(r"layer_(\d+)", path.name) or re.search(r"/layer_(\d+)", _whole(path))
    return int(match[1]) if match else None


def _block_of(hook_point: str | None) -> int:
    """The block of a hook point; 0 where nobody named one."""
    match = re.match(r"blocks\.(\d+)\.", hook_point or "")
    return int(match[1]) if match else 0


def _whole(path: Path) -> str:
    return f"{path.parent.resolve().as_posix()}/"
