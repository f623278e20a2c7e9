"""Gemma Scope: `params.npz`, and `params.safetensors` in its second edition.

Equation (google-deepmind, the tutorial notebook of Gemma Scope, class JumpReLUSAE):

    pre = x W_enc + b_enc,    f = 1[pre > threshold] * relu(pre),    x_hat = f W_dec + b_dec.
"""

from __future__ import annotations

import re
from pathlib import Path

from sae_core.dictionaries.formats.parts import Asked, Parts, TensorFile
from sae_core.dictionaries.settings import GEMMA_SCOPE, Sifted, sift
from sae_core.errors import CheckpointError
from sae_core.files.json_config import JsonConfig
from sae_core.files.weight_files import read_tensors

_FILES = ("params.npz", "params.safetensors")
_CONFIG = "config.json"
_OTHERS = re.compile(r"(transcoders?|clt|crosscoders?)(_all)?|.*gemma-scope.*(trans|cross)coders?")
# Where the second edition reads, by the module's name within its block.
_MODULES = {
    "output": "hook_resid_post",
    "self_attn.o_proj.input": "attn.hook_z",
    "post_feedforward_layernorm.output": "hook_mlp_out",
    "mlp.output": "mlp.hook_out",
    "input": "hook_resid_pre",
}
_PLACES = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}
_PLACES |= {"resid_post": "hook_resid_post", "mlp_out": "hook_mlp_out", "attn_out": "attn.hook_z"}


def recognise(path: Path) -> bool:
    """Whether that is a folder of Gemma Scope, or its file."""
    return path.name in _FILES or any((path / name).is_file() for name in _FILES)


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of Gemma Scope.

    Raises:
        CheckpointError: it is damaged, or no JumpReLU dictionary.
    """
    del asked
    if path.name not in _FILES:
        path = path / next((name for name in _FILES if (path / name).is_file()), _FILES[0])
    stored = read_tensors(path)
    settings = path.parent / _CONFIG
    sifted, said, place = Sifted(), {}, None
    if settings.is_file():
        config_file = JsonConfig.read(settings)
        said = {key: v for key, v in config_file.values.items() if isinstance(v, (str, int, float))}
        _refuse_transcoder(config_file)
        sifted = sift(config_file.values, GEMMA_SCOPE, settings)
        place = _place_of_module(config_file)
    else:
        _refuse_by_name(path)
    # The second edition writes w_enc and w_dec.
    tensors = TensorFile(path, {re.sub("^w_", "W_", name): t for name, t in stored.items()})
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    weights = {name: tensors.take(name) for name in names}
    tensors.refuse_rest()
    config = {"architecture": "jumprelu", "apply_b_dec_to_input": False}
    by_name = _hook_point(path)
    files = (path, settings) if settings.is_file() else (path,)
    return Parts(
        config,
        weights,
        files,
        place or by_name,
        _CONFIG if place else "the folders' names" if by_name else "",
        said,
        unknown=sifted.unknown,
        notes=sifted.notes,
    )


def _refuse_transcoder(config: JsonConfig) -> None:
    """Refuse what its own settings call something else than a dictionary of one activation."""
    kind = config.values.get("type", "sae")
    ends = (config.values.get("hf_hook_point_in"), config.values.get("hf_hook_point_out"))
    moves = None not in ends and ends[0] != ends[1]
    if kind != "sae" or moves:
        raise CheckpointError(
            f"{config.path} says that this is a {kind if kind != 'sae' else 'transcoder'}: it "
            f"predicts {ends[1] or 'one activation'} from {ends[0] or 'another'} and is no "
            "dictionary of either. Use one of resid_post, attn_out or mlp_out."
        )
    if (architecture := config.values.get("architecture", "jump_relu")) != "jump_relu":
        raise CheckpointError(
            f"{config.path} has the architecture {architecture!r}: only jump_relu is read."
        )


def _refuse_by_name(path: Path) -> None:
    """The first edition has no settings beside its weights: the folders' names tell."""
    names = [part for part in path.parent.resolve().parts[-5:] if _OTHERS.fullmatch(part)]
    if names:
        raise CheckpointError(
            f"{path} lies in a folder of transcoders or crosscoders ({names[-1]}), which predict "
            "one activation from another and are no dictionaries of either. Use one of resid_post, "
            "attn_out or mlp_out; if it is a dictionary after all, copy it elsewhere."
        )


def _place_of_module(config: JsonConfig) -> str | None:
    """The hook point of a module's name such as `model.layers.3.output`."""
    name = str(config.values.get("hf_hook_point_in") or "")
    match = re.fullmatch(r"(?:.*\.)?layers\.(\d+)\.(.+)", name)
    kind = _MODULES.get(match[2]) if match else None
    return f"blocks.{match[1]}.{kind}" if match and kind else None


def _hook_point(path: Path) -> str | None:
    """From paths like `gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71/params.npz`.

    The rule is that of SAELens (`get_gemma_2_config_from_hf`, `get_gemma_3_config_from_hf`).
    """
    # The folder alone: in the Hub's cache the file is a link to where no name says anything.
    whole = f"{path.parent.resolve().as_posix()}/"
    layer = re.search(r"/layer_(\d+)", whole)
    if layer is None:
        return None
    kind = re.search(r"gemma-scope-\w+-\w+-(res|mlp|att)/", whole)
    kind = kind or re.search(r"/(resid_post|mlp_out|attn_out)(?:_all)?/", whole)
    return f"blocks.{layer[1]}.{_PLACES[kind[1]]}" if kind else None
