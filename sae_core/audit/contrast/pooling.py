"""Texts pooled over their tokens, for a contrast; the one module here that needs torch."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.audit.contrast.sets import PooledTexts
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import ContrastError
from sae_core.interventions.prompt import prompt_firings, prompt_tokens, text_positions
from sae_core.language_model.model import LanguageModel

_FEWEST = 3  # texts on which a feature fires that is kept

OneText = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


@torch.no_grad()
def pooled_steps(
    model: LanguageModel, dictionary: Dictionary, first: Sequence[str], second: Sequence[str]
) -> Generator[int, None, PooledTexts]:
    """Read texts one by one; yields how many are done, the return value is all of them pooled.

    Args:
        model: that the dictionary reads.
        dictionary: whose features are pooled.
        first: texts of the first set; what is longer than the model's context is cut.
        second: of the second.

    Raises:
        ContrastError: a text has no token but special ones.
    """
    point = model.hook_point(dictionary.hook_point, dictionary.d_in)
    texts, raw = list[OneText](), list[NDArray[np.float64]]()
    for number, text in enumerate((*first, *second), 1):
        tokens = prompt_tokens(model, text, cut=True) if text else torch.empty(0).long()
        positions = text_positions(model, tokens)
        if not len(positions):
            raise ContrastError(f"Text {number} of the contrast has no token that is text.")
        x = model.capture(tokens[None], point)[0]
        firings = prompt_firings(model, dictionary, tokens, x)
        values = firings.values.double().numpy()
        ids, where = np.unique(firings.features.numpy(), return_inverse=True)
        maxima = np.zeros(len(ids))
        np.maximum.at(maxima, where, values)
        means = np.bincount(where, values, minlength=len(ids)) / len(positions)
        texts.append((ids.astype(np.int64), maxima, means))
        raw.append(x[positions.to(x.device)].double().mean(dim=0).cpu().numpy())
        yield number
    return pooled(texts, np.stack(raw), len(first))


def pooled(texts: Sequence[OneText], raw: NDArray[np.float64], n_first: int) -> PooledTexts:
    """Sparse pooled texts as columns of the features that fire on several of them."""
    every, counts = np.unique(
        np.concatenate([ids for ids, *_ in texts]) if texts else np.zeros(0, dtype=np.int64),
        return_counts=True,
    )
    features = every[counts >= _FEWEST]
    maxima, means = np.zeros((2, len(texts), len(features)))
    for row, (ids, largest, mean) in enumerate(texts):
        kept = np.isin(ids, features)
        columns = np.searchsorted(features, ids[kept])
        maxima[row, columns], means[row, columns] = largest[kept], mean[kept]
    return PooledTexts(features, maxima, means, raw, np.arange(len(texts)) < n_first)
