"""Kissane and Krzyzanowski's dictionaries of attention outputs: `NAME.pt` beside `NAME_cfg.json`.

Equation (ckkissane/attn-saes-gpt2-small-all-layers on the Hub, its `AutoEncoder`), of the outputs
of all heads side by side:

    f = relu((x - b_dec) W_enc + b_enc),    x_hat = f W_dec + b_dec.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sae_core.dictionaries.formats.parts import Asked, Parts, TensorFile
from sae_core.files.json_config import JsonConfig
from sae_core.files.weight_files import read_pickle


def recognise(path: Path) -> bool:
    """Whether that is such a file, with its settings beside it."""
    return path.suffix == ".pt" and path.is_file() and _settings_of(path).is_file()


def read(path: Path, asked: Asked) -> Parts:
    """A dictionary of theirs.

    Raises:
        CheckpointError: a file is missing or damaged, or holds more than that.
    """
    del asked
    settings = JsonConfig.read(_settings_of(path))
    tensors = TensorFile(path, read_pickle(path))
    weights = {name: tensors.take(name) for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
    tensors.refuse_rest()
    config: dict[str, Any] = {"architecture": "standard", "apply_b_dec_to_input": True}
    config |= {"d_in": settings.size("act_size"), "d_sae": settings.size("dict_size")}
    place = settings.values.get("act_name")
    return Parts(
        config,
        weights,
        (path, settings.path),
        place if isinstance(place, str) else None,
        settings.path.name,
        {key: v for key, v in settings.values.items() if isinstance(v, (str, int, float))},
    )


def _settings_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_cfg.json")
