"""One to one: each feature of one dictionary with at most one of the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sae_core.evaluation.comparison.correlation import judged
from sae_core.evaluation.comparison.firings import TokenFirings
from sae_core.evaluation.comparison.matches import NONE, Matches

MOST_ASSIGNED = 4_096**2
"""Pairs up to which the best assignment is sought: it costs the cube of the features."""


def room_for_all(first: TokenFirings, second: TokenFirings) -> NDArray[np.float32] | None:
    """Room for the correlations of all features that can be judged, 4 bytes a pair.

    None: there are too many to seek the best assignment; mutual best matches take its place.
    """
    size = len(judged(first)), len(judged(second))
    return np.zeros(size, dtype=np.float32) if size[0] * size[1] <= MOST_ASSIGNED else None


def assigned(
    first: TokenFirings, second: TokenFirings, correlations: NDArray[np.float32]
) -> Matches:
    """The pairing with the largest sum of correlations, of the features that can be judged.

    Args:
        first: of the rows.
        second: of the columns.
        correlations: of all of them, as `room_for_all` makes room for.

    Returns:
        For the features of the first, [n].
    """
    rows, columns = judged(first), judged(second)
    left, right = linear_sum_assignment(correlations, maximize=True)
    indices, values = np.full(first.d_sae, NONE), np.full(first.d_sae, np.nan)
    indices[rows[left]] = columns[right]
    values[rows[left]] = correlations[left, right]
    return Matches(indices, values)
