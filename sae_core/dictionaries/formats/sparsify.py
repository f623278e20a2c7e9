"""EleutherAI sparsify (once `sae`): `cfg.json` and `sae.safetensors`.

Equation (EleutherAI/sparsify, sparse_coder.py and fused_encoder.py):

    f = top_k(relu((x - b_dec) W_enc^T + b)),    x_hat = f W_dec + b_dec.
"""

from __future__ import annotations

import re
from pathlib import Path

from sae_core.dictionaries.formats.parts import Asked, Parts, TensorFile, transposed
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


def recognise(path: Path) -> bool:
    """Whether that is a folder of sparsify."""
    return (path / _WEIGHTS).exists()


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of sparsify.

    Raises:
        CheckpointError: a file is missing or damaged, or it is more than a TopK dictionary.
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
    tensors.refuse_rest()
    config = {
        "architecture": "topk",
        "apply_b_dec_to_input": True,
        "k": settings.size("k"),
        "d_in": settings.size("d_in"),
    }
    if settings.values.get("num_latents"):
        config["d_sae"] = settings.size("num_latents")
    place = _hook_point(path.resolve().name)
    return Parts(
        config,
        weights,
        (file, path / _CONFIG),
        place,
        "the folder's name",
        unknown=sifted.unknown,
        notes=sifted.notes,
    )


def _hook_point(name: str) -> str | None:
    """From a module's name such as `layers.5`, `h.5.mlp` or `gpt_neox.layers.5.attention`."""
    match = re.fullmatch(r"(?:.*\.)?(?:layers|h|blocks)[._](\d+)(?:\.(\w+))?", name)
    kind = _PLACES.get(match[2]) if match else None
    return f"blocks.{match[1]}.{kind}" if match and kind else None
