"""One to one: each feature of one dictionary with at most one of the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sae_core.evaluation.comparison.correlation import correlations, judged
from sae_core.evaluation.comparison.firings import TokenFirings
from sae_core.evaluation.comparison.matches import NONE, Matches

MOST_ASSIGNED = 4_096**2
"""Pairs up to which the best assignment is sought: it costs the cube of the features."""


def can_assign(first: TokenFirings, second: TokenFirings) -> bool:
    """Whether the best assignment is affordable; beyond, mutual best matches take its place."""
    return len(judged(first)) * len(judged(second)) <= MOST_ASSIGNED


def assigned(first: TokenFirings, second: TokenFirings) -> Matches:
    """The pairing with the largest sum of correlations, of the features that can be judged.

    Memory: 4 bytes for each pair of features.

    Returns:
        For the features of the first, [n].
    """
    rows, columns = judged(first), judged(second)
    table: NDArray[np.float32] = np.zeros((len(rows), len(columns)), dtype=np.float32)
    for part, _, values in correlations(first, second):
        table[np.searchsorted(rows, part)] = values
    left, right = linear_sum_assignment(table, maximize=True)
    indices, values = np.full(first.d_sae, NONE), np.full(first.d_sae, np.nan)
    indices[rows[left]] = columns[right]
    values[rows[left]] = table[left, right]
    return Matches(indices, values)
