"""Neutral text of an experiment: a file's, or windows of the text that a dictionary was harvested
on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.errors import InvalidRequest
from app.jobs.audit.experiments.prompts import read_prompts
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.model import LanguageModel

_LONGEST = 256  # tokens of a text that are read


def file_texts(model: LanguageModel, path: Path, most: int) -> list[Tensor]:
    """The first texts of a file, as many as are asked for, each cut to `_LONGEST` tokens.

    Raises:
        InvalidRequest: it cannot be read, or a line is broken or a conversation.
    """
    texts = []
    for prompt in read_prompts(path).prompts[:most]:
        if not isinstance(prompt.said, str):
            raise InvalidRequest(
                f"Line {prompt.line} of {path.name} is a conversation: neutral text is plain."
            )
        texts.append(prompt_tokens(model, prompt.said, cut=True)[:_LONGEST])
    return [text for text in texts if len(text) > 1]


def stored_texts(store: Store, view: DictionaryView, most: int, seed: int) -> list[Tensor]:
    """Windows of the harvested text that the store keeps, each an example of a feature drawn at
    random."""
    alive = np.flatnonzero(store.scales(view).firings > 0)
    drawn = np.random.default_rng(seed).permutation(alive)
    windows: dict[int, Tensor] = {}
    for feature in drawn.tolist()[: 4 * most]:
        there = store.feature(view, feature).windows
        # The one with the smallest number: which it is says nothing about how strongly it fires.
        for number in sorted(there)[:1]:
            tokens = torch.from_numpy(np.array(there[number].tokens, dtype=np.int64))
            if len(tokens) > 1:
                windows.setdefault(number, tokens[:_LONGEST])
        if len(windows) == most:
            break
    return [windows[number] for number in sorted(windows)]
