"""Matches by the cosine of decoder rows, beside directions drawn at random.

The null of a dictionary are as many directions as it has, drawn from a normal distribution whose
second moments are those of its own unit rows: what points where most rows point is likely there,
too. A row of the other dictionary is matched with those just as with the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.evaluation.comparison.matches import BestMatches

BLOCK = 1_024


@torch.inference_mode()
def cosine_matches(first: Dictionary, second: Dictionary, block: int = BLOCK) -> BestMatches:
    """Best matches both ways. Rows that are 0 have no direction and no match.

    Memory: a few times `block` * (d_sae + d_in) floats. Time grows with d_sae^2 * d_in.

    Args:
        first: whose features are the rows.
        second: whose features are the columns, of the same d_in.
        block: rows that are compared at a time.
    """
    best = BestMatches(first.d_sae, second.d_sae)
    others = list(_unit_rows(second, block))
    columns = np.concatenate([features for features, _ in others])
    for rows, left in _unit_rows(first, block):
        if len(rows) and len(columns):
            table = torch.cat([left @ right.T for _, right in others], dim=1)
            best.see(rows, columns, table.clamp_(-1.0, 1.0).double().cpu().numpy())
    return best


@torch.inference_mode()
def random_cosines(
    first: Dictionary, second: Dictionary, seed: int, block: int = BLOCK
) -> NDArray[np.float64]:
    """For each row of `first` that has a direction the largest cosine with the null of `second`.

    Returns:
        float64 [n]; empty where one of the two has no direction.
    """
    others = torch.cat([right for _, right in _unit_rows(second, block)])
    generator = torch.Generator().manual_seed(seed)
    rows = torch.cat([left for _, left in _unit_rows(first, block)])
    if not (len(others) and len(rows)):
        return np.zeros(0)
    largest = torch.full((len(rows),), -1.0, device=rows.device)
    for begin in range(0, len(others), block):
        # Combinations of all rows with independent normal weights have their second moments.
        size = (min(block, len(others) - begin), len(others))
        weights = torch.randn(size, generator=generator).to(others.device)
        drawn = functional.normalize(weights @ others, dim=-1)
        for part in range(0, len(rows), block):
            cosine = (rows[part : part + block] @ drawn.T).amax(dim=1)
            torch.maximum(largest[part : part + block], cosine, out=largest[part : part + block])
    return largest.clamp_(-1.0, 1.0).double().cpu().numpy()


def _unit_rows(dictionary: Dictionary, block: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Features that have a direction, and their rows with length 1, a block at a time."""
    every = torch.arange(dictionary.d_sae, device=dictionary.b_dec.device)
    for features in torch.split(every, block):
        rows = dictionary.rows_of(features).float()
        norms = rows.norm(dim=-1)
        directed = norms > 0
        yield features[directed].cpu().numpy(), rows[directed] / norms[directed, None]
