"""Gemma Scope: `params.npz`, and `params.safetensors` in its second edition.

Equation (google-deepmind, the tutorial notebook of Gemma Scope, class JumpReLUSAE):

    pre = x W_enc + b_enc,    f = 1[pre > threshold] * relu(pre),    x_hat = f W_dec + b_dec.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sae_core.dictionaries.formats.parts import Parts, TensorFile
from sae_core.files.weight_files import read_tensors

_FILES = ("params.npz", "params.safetensors")
_PLACES = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z"}
_PLACES |= {"resid_post": "hook_resid_post", "mlp_out": "hook_mlp_out", "attn_out": "attn.hook_z"}


def recognise(path: Path) -> bool:
    """Whether that is a folder of Gemma Scope, or its file."""
    return path.name in _FILES or any((path / name).is_file() for name in _FILES)


def read(path: Path, mapping: Mapping[str, str]) -> Parts:
    """A dictionary of Gemma Scope.

    Raises:
        CheckpointError: it is damaged, or no JumpReLU dictionary.
    """
    del mapping
    if path.name not in _FILES:
        path = path / next((name for name in _FILES if (path / name).is_file()), _FILES[0])
    stored = read_tensors(path)
    # The second edition writes w_enc and w_dec.
    tensors = TensorFile(path, {re.sub("^w_", "W_", name): t for name, t in stored.items()})
    names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    weights = {name: tensors.take(name) for name in names}
    tensors.refuse_rest()
    config = {"architecture": "jumprelu", "apply_b_dec_to_input": False}
    place = _hook_point(path)
    return Parts(config, weights, (path,), place, "the folders' names" if place else "")


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
