"""OpenAI's sparse_autoencoder: one `.pt` file, the state of its `Autoencoder`.

Equation (openai/sparse_autoencoder, model.py), where it normalises with the `LN` there, which is
`InputNorm.LAYER_NORM` here:

    f = activation((z - pre_bias) W_enc^T + latent_bias),    z_hat = W_dec f + pre_bias.

It normalises where the activation is TopK: its `from_state_dict` decides so. Its own `train.py`
never does (their issue 19), and the file does not say which it was: that is assumed, and told.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sae_core.dictionaries.formats.parts import Asked, Parts, TensorFile, transposed
from sae_core.dictionaries.normalised import InputNorm
from sae_core.errors import CheckpointError
from sae_core.files.weight_files import read_pickle

_ASSUMED = (
    "That its input is layer-normed is assumed: the file does not say. OpenAI's model.py takes "
    "TopK to mean so, and its train.py never normalises."
)
_STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")


def recognise(path: Path) -> bool:
    """Whether that is such a file, or a folder with just one.

    A file that cannot be read is none; the reader that is asked for by name says why.
    """
    file = _file(path)
    if file is None:
        return False
    try:
        return {"pre_bias", "latent_bias"} <= set(read_pickle(file))
    except CheckpointError:
        return False


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of OpenAI's.

    Raises:
        CheckpointError: it is damaged, has to be unpickled, or is none of theirs.
    """
    file = _file(path)
    if file is None:
        raise CheckpointError(f"{path} holds no single .pt file: give the file itself.")
    state = read_pickle(file)
    activation = state.pop("activation", "ReLU")
    settings = state.pop("activation_state_dict", {})
    config: dict[str, Any] = {"apply_b_dec_to_input": True}
    if activation == "TopK":
        config |= {"architecture": "topk", "normalize_activations": str(InputNorm.LAYER_NORM)}
        config |= {"k": _k(settings, file)}
    elif activation == "ReLU":
        config |= {"architecture": "standard"}
    else:
        raise CheckpointError(f"{file} has the activation {activation!r}: use ReLU or TopK.")
    tensors = TensorFile(file, state)
    tensors.drop(*_STATISTICS)
    weights = {
        "W_enc": transposed(tensors.take("encoder.weight"), file, "encoder.weight"),
        "W_dec": transposed(tensors.take("decoder.weight"), file, "decoder.weight"),
        "b_enc": tensors.take("latent_bias"),
        "b_dec": tensors.take("pre_bias"),
    }
    tensors.refuse_rest()
    assumed = activation == "TopK" and asked.norm is None
    return Parts(
        config,
        weights,
        (file,),
        facts={"activation": activation},
        notes=(_ASSUMED,) if assumed else (),
        assumed_norm=str(InputNorm.NONE) if assumed else None,
    )


def _file(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix == ".pt" else None
    files = sorted(path.glob("*.pt"))
    return files[0] if len(files) == 1 else None


def _k(settings: Any, file: Path) -> int:
    k = settings.get("k") if isinstance(settings, Mapping) else None
    if not isinstance(k, int):
        raise CheckpointError(f"{file} has TopK activations but does not give k.")
    if settings.get("postact_fn", "ReLU") != "ReLU":
        raise CheckpointError(
            f"{file} keeps negative activations ({settings['postact_fn']} after TopK): only ReLU "
            "is understood, whose features are never negative."
        )
    return k
