"""Two linear layers in one file named `…SAE-l19.pt`, as Goodfire and qresearch published theirs.

Equation (Goodfire/Llama-3.1-8B-Instruct-SAE-l19 and qresearch/DeepSeek-R1-Distill-Llama-8B-SAE-l19
on the Hub, their cards), of the residual stream behind the block in the file's name:

    f = relu(x W_enc^T + b_enc),    x_hat = f W_dec^T + b_dec.
"""

from __future__ import annotations

import re
from pathlib import Path

from sae_core.dictionaries.formats.parts import Asked, Parts, TensorFile, transposed
from sae_core.errors import CheckpointError
from sae_core.files.weight_files import read_pickle

_FILE = re.compile(r".*SAE-l(\d+)\.pth?")
_ENDS = {"enc": ("encoder_linear", "encoder"), "dec": ("decoder_linear", "decoder")}


def recognise(path: Path) -> bool:
    """Whether that is such a file, of such a name.

    A file that cannot be read is none; the reader that is asked for by name says why.
    """
    if not path.is_file() or _FILE.fullmatch(path.name) is None:
        return False
    try:
        names = set(read_pickle(path))
    except CheckpointError:
        return False
    pairs = zip(*_ENDS.values(), strict=True)
    return any(names == {f"{n}.{t}" for n in pair for t in ("weight", "bias")} for pair in pairs)


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of two linear layers.

    Raises:
        CheckpointError: it is damaged, or holds more than that.
    """
    del asked
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise CheckpointError(f"{path} is no such file: those are named …SAE-l19.pt or .pth.")
    tensors = TensorFile(path, read_pickle(path))
    weights = {}
    for end, names in _ENDS.items():
        matrix = tensors.take(*(f"{name}.weight" for name in names))
        weights[f"W_{end}"] = transposed(matrix, path, f"{names[-1]}.weight")
        weights[f"b_{end}"] = tensors.take(*(f"{name}.bias" for name in names))
    tensors.refuse_rest()
    return Parts(
        {"architecture": "standard", "apply_b_dec_to_input": False},
        weights,
        (path,),
        f"blocks.{match[1]}.hook_resid_post",
        "the file's name",
    )
