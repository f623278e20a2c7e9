"""What a training leaves in its folder: written, named by its bytes, evaluated as it lies there.

A dictionary of one place is a folder of SAELens'; a cross-layer transcoder one of circuit-tracer's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae_core.circuits.replacement import evaluate_together
from sae_core.dictionaries import checkpoint
from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.cross_layer_files import (
    cross_layer_checksum,
    is_cross_layer,
    load_cross_layer,
    save_cross_layer,
)
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.evaluation.evaluation import evaluate
from sae_core.evaluation.figures import Evaluation
from sae_core.language_model.model import LanguageModel
from sae_core.text.tokenized import Windows


def holds_dictionary(folder: Path) -> bool:
    """Whether there is one already."""
    return (folder / checkpoint.CONFIG).exists() or is_cross_layer(folder)


def save_outcome(dictionary: Dictionary, folder: Path, model_name: str) -> None:
    """Write a trained dictionary."""
    if isinstance(dictionary, CrossLayerTranscoder):
        save_cross_layer(dictionary, folder, model_name)
    else:
        checkpoint.save_dictionary(dictionary, folder)


def outcome_checksum(folder: Path) -> str:
    """SHA-256 over what lies there."""
    if is_cross_layer(folder):
        return cross_layer_checksum(folder)
    return checkpoint.dictionary_checksum(folder)


def evaluate_outcome(
    model: LanguageModel,
    folder: Path,
    windows: Windows,
    numbers: NDArray[np.int64],
    on_windows: Callable[[int], None],
) -> tuple[Evaluation, str]:
    """Figures of the dictionary as it lies in its folder; and a sentence on its layers, if any."""
    device = str(model.device)
    if not is_cross_layer(folder):
        dictionary = checkpoint.load_dictionary(folder, device)
        return evaluate(model, dictionary, windows, numbers, on_windows), ""
    whole = evaluate_together(model, load_cross_layer(folder, device), windows, numbers, on_windows)
    fvu = ", ".join(f"{value:.4f}" for value in whole.fvu)
    return whole.evaluation, f"FVU of what each block writes, from the first: {fvu}."
