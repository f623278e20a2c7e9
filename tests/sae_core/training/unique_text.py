"""A text whose every token is another one, and a model whose activations name the token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae_core.language_model.hook_point import HookKind, HookPoint
from sae_core.text.tokenized import TokenizedCorpus, Windows

D_IN = 3


class NamingModel:
    """Stands in for a language model: x = (token, token / 2, 1); BOS is the last id."""

    def __init__(self, n_tokens: int) -> None:
        self.name, self.checksum, self.dtype = "naming", "0", torch.float32
        self.n_layers = 1
        self.device = torch.device("cpu")
        special = np.zeros(n_tokens + 1, dtype=bool)
        special[n_tokens] = True
        self.vocabulary = SimpleNamespace(is_special=special, bos=n_tokens)
        self.tokenizer = SimpleNamespace(decode=lambda ids: f"<{ids[0]}>")
        self.forwards = 0
        self.broken: int | None = None
        self.on_capture: Callable[[], None] = lambda: None

    def hook_point(self, name: str) -> HookPoint:
        return HookPoint(name, 0, HookKind.POST, D_IN, False)

    def capture_each(self, tokens: Tensor, hook_points: Sequence[HookPoint]) -> list[Tensor]:
        """The first hook point's activation; that of any other is twice as large."""
        self.forwards += 1
        self.on_capture()
        x = torch.stack([tokens, tokens / 2, torch.ones_like(tokens)], dim=-1).float()
        if self.broken is not None:
            x[tokens == self.broken] = torch.nan
        return [x, *(2 * x for _ in hook_points[1:])]


def unique_text(
    lengths: list[int], n_ctx: int = 9, bos: bool = True, held_out: tuple[int, ...] = ()
) -> tuple[Any, Windows]:
    """The model and the windows of documents of those lengths; token ids count up from 0."""
    n_tokens = sum(lengths)
    corpus = TokenizedCorpus(
        name="unique",
        source="made up",
        fingerprint=str(lengths),
        tokens=np.arange(n_tokens, dtype=np.uint32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        names=tuple(f"document {n}" for n in range(len(lengths))),
        held_out=np.isin(np.arange(len(lengths)), held_out),
    )
    model = NamingModel(n_tokens)
    return model, Windows(corpus, n_ctx, model.vocabulary.bos if bos else None)


def ids(batch: Tensor) -> list[int]:
    """The tokens that a batch of the model's activations names."""
    return [int(token) for token in batch[:, 0]]


def in_folder(folder: Path) -> list[str]:
    """Names of all files under a folder."""
    return sorted(p.name for p in folder.rglob("*") if p.is_file())
