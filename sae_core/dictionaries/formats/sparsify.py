"""EleutherAI sparsify (once `sae`): `cfg.json` and `sae.safetensors`.

Equation (EleutherAI/sparsify, sparse_coder.py and fused_encoder.py):

    f = top_k(relu((x - b_dec) W_enc^T + b)),    x_hat = f W_dec + b_dec.

A transcoder predicts a module's output from its input, and takes nothing off that (`transcode`):

    f = top_k(relu(x W_enc^T + b)),    y_hat = f W_dec + b_dec (+ x W_skip^T: `skip_connection`).

Up to August 2024 features could be of either sign (`signed`): no relu, and the k largest by
magnitude.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sae_core.dictionaries.formats.parts import (
    Asked,
    Parts,
    TensorFile,
    both_signs,
    transposed,
)
from sae_core.dictionaries.settings import SPARSIFY, sift
from sae_core.errors import CheckpointError
from sae_core.files.json_config import JsonConfig
from sae_core.files.weight_files import check_file, read_tensors

_CONFIG, _WEIGHTS = "cfg.json", "sae.safetensors"
# Names of modules whose output the trainer reads, after the number of the block. Where a norm
# follows (Gemma 2, OLMo 2), that is not what is added to the stream.
_PLACES = {
    None: "hook_resid_post",
    "mlp": "mlp.hook_out",
    "attn": "attn.hook_out",
    "self_attn": "attn.hook_out",
    "attention": "attn.hook_out",
    "self_attention": "attn.hook_out",
}


# The same modules' inputs, which a transcoder reads.
_INPUTS = {None: "hook_resid_pre", "mlp": "mlp.hook_in"}


def recognise(path: Path) -> bool:
    """Whether that is a folder of sparsify."""
    return (path / _WEIGHTS).exists()


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of sparsify.

    Raises:
        CheckpointError: a file is missing or damaged, or it is no TopK coder.
    """
    del asked
    check_file(path / _CONFIG)
    settings = JsonConfig.read(path / _CONFIG)
    sifted = sift(settings.values, SPARSIFY, settings.path)
    if (activation := settings.word("activation", "topk")) != "topk":
        raise CheckpointError(f"{path} has the activation {activation!r}: only topk is understood.")
    file = path / _WEIGHTS
    tensors = TensorFile(file, read_tensors(file))
    weights = {
        "W_enc": transposed(tensors.take("encoder.weight"), file, "encoder.weight"),
        "b_enc": tensors.take("encoder.bias"),
        "W_dec": tensors.take("W_dec"),
        "b_dec": tensors.take("b_dec"),
    }
    transcodes, skips = settings.flag("transcode", False), settings.flag("skip_connection", False)
    if skips and not transcodes:
        raise CheckpointError(
            f"{settings.path} says skip_connection and not transcode: a skip connection is read of "
            "transcoders alone, and before 2025 sparsify took b_dec off a transcoder's input. Use "
            "one that says transcode."
        )
    if skips:
        weights["W_skip"] = tensors.take("W_skip")
    tensors.refuse_rest()
    signed, changes = settings.flag("signed", False), []
    if signed:
        weights, change = both_signs(weights)
        changes.append(change)
    kind = f"_{'skip_' if skips else ''}transcoder" if transcodes else ""
    config = {
        "architecture": f"topk{kind}",
        "apply_b_dec_to_input": not transcodes,
        "k": settings.size("k"),
        "d_in": settings.size("d_in"),
    }
    if settings.values.get("num_latents"):
        config["d_sae"] = settings.size("num_latents") * (2 if signed else 1)
    places = [_hook_point(path.resolve().name, table) for table in (_INPUTS, _PLACES)]
    return Parts(
        config,
        weights,
        (file, path / _CONFIG),
        places[0] if transcodes else places[1],
        "the folder's name",
        changes=tuple(changes),
        unknown=sifted.unknown,
        notes=sifted.notes,
        output=places[1] if transcodes else None,
    )


def _hook_point(name: str, places: Mapping[str | None, str]) -> str | None:
    """From a module's name such as `layers.5`, `h.5.mlp` or `gpt_neox.layers.5.attention`."""
    match = re.fullmatch(r"(?:.*\.)?(?:layers|h|blocks)[._](\d+)(?:\.(\w+))?", name)
    kind = places.get(match[2]) if match else None
    return f"blocks.{match[1]}.{kind}" if match and kind else None
