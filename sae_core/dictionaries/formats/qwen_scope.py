"""Qwen Scope: `layerN.sae.pt`, one file a layer; how many features fire stands in a folder's name.

Equation (Qwen/SAE-Res-MODEL-W32K-L0_50 on the Hub, its card), with W_enc [d_sae, d_in] and W_dec
[d_in, d_sae], of the residual stream behind block N:

    f = relu(top_k(x W_enc^T + b_enc)),    x_hat = f W_dec^T + b_dec.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sae_core.dictionaries.formats.parts import Asked, Parts, TensorFile, transposed
from sae_core.errors import CheckpointError
from sae_core.files.weight_files import read_pickle

_FILE = re.compile(r"layer(\d+)\.sae\.pt")
_K = re.compile(r".*L0_(\d+)")


def recognise(path: Path) -> bool:
    """Whether that is a file of Qwen Scope."""
    return path.is_file() and _FILE.fullmatch(path.name) is not None


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of Qwen Scope.

    Raises:
        CheckpointError: it is damaged, or nothing says its k.
    """
    del asked
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise CheckpointError(f"{path} is no file of Qwen Scope: those are named layer0.sae.pt.")
    k = _k_of(path)
    tensors = TensorFile(path, read_pickle(path))
    weights = {
        "W_enc": transposed(tensors.take("W_enc"), path, "W_enc"),
        "W_dec": transposed(tensors.take("W_dec"), path, "W_dec"),
        "b_enc": tensors.take("b_enc"),
        "b_dec": tensors.take("b_dec"),
    }
    tensors.refuse_rest()
    config: dict[str, Any] = {"architecture": "topk", "apply_b_dec_to_input": False, "k": k}
    return Parts(
        config, weights, (path,), f"blocks.{match[1]}.hook_resid_post", "the file's name", {"k": k}
    )


def _k_of(path: Path) -> int:
    """How many features fire, from a folder such as `SAE-Res-Qwen3-8B-Base-W64K-L0_50`."""
    for name in reversed(path.parent.resolve().parts):
        if match := _K.fullmatch(name):
            return int(match[1])
    raise CheckpointError(
        f"{path} does not say how many features a token keeps, and no folder's name does: put it "
        "into a folder named as its repository is, ending in L0_50 where they are 50."
    )
