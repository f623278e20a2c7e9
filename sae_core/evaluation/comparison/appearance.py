"""Features of one moment of a training matched to the last moment's.

For a feature of the last moment the best match among a moment's features is chosen by correlation
on one half of the documents, and its correlation r is taken on the other half, so that the choice
of one among thousands does not flatter it. The null are the same matches with the moment's
activations moved along the text: its 99th percentile over features is what r has to exceed.
`arrivals` says when they appear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sae_core.evaluation.comparison.correlation import correlation_matches
from sae_core.evaluation.comparison.firings import TokenFirings

NULL_SHARE = 0.99
_MOVED = 0.37  # share of the text that activations are moved by, for the null

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class MomentMatches:
    """The last moment's features found in another's.

    Attributes:
        partners: the best match of each, int64 [n]; -1: none could be judged.
        values: its correlation on the other half, float64 [n]; nan: none.
        null: what chance reaches, the 99th percentile over features; nan: nothing to judge.
    """

    partners: NDArray[np.int64]
    values: Numbers
    null: float


def moment_matches(
    last: TokenFirings, moment: TokenFirings, documents: NDArray[np.int64]
) -> MomentMatches:
    """Match features.

    Args:
        last: the last moment's firings.
        moment: another moment's, on the same tokens.
        documents: that each token lies in, int64 [n_tokens].
    """
    choosing = halves(documents)
    first, other = part(last, choosing), part(moment, choosing)
    held = part(last, ~choosing), part(moment, ~choosing)
    chosen = correlation_matches(first, other).rows
    values = paired(*held, chosen.indices)
    moved = round(_MOVED * other.n_tokens)
    by_chance = correlation_matches(first, other.shifted(moved)).rows.indices
    chance = paired(held[0], held[1].shifted(round(_MOVED * held[1].n_tokens)), by_chance)
    known = chance[np.isfinite(chance)]
    null = float(np.quantile(known, NULL_SHARE)) if len(known) else float("nan")
    return MomentMatches(chosen.indices, values, null)


def halves(documents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Every other document, in the order in which they come first: for the choice, bool [n]."""
    _, first, which = np.unique(documents, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    choosing: NDArray[np.bool_] = place[which] % 2 == 0
    return choosing


def part(firings: TokenFirings, rows: NDArray[np.bool_]) -> TokenFirings:
    """The firings on some tokens."""
    return TokenFirings(sparse.csr_array(firings.by_token[np.flatnonzero(rows)]))


def paired(first: TokenFirings, second: TokenFirings, partners: NDArray[np.int64]) -> Numbers:
    """Correlation of each feature with one of the other dictionary, float64 [n].

    Args:
        first: all of whose features are looked at.
        second: on the same tokens.
        partners: feature of `second` for each, int64 [n]; -1: none, whose correlation is nan.
    """
    values = np.full(len(partners), np.nan)
    there = np.flatnonzero(partners >= 0)
    own = first.by_feature[there].astype(np.float64)
    other = second.by_feature[partners[there]].astype(np.float64)
    sums = np.asarray(own.multiply(other).sum(axis=1)).ravel()
    n = max(1, first.n_tokens)
    covariance = sums / n - first.means[there] * second.means[partners[there]]
    spread = first.deviations[there] * second.deviations[partners[there]]
    values[there] = np.divide(covariance, spread, out=np.zeros_like(sums), where=spread > 0)
    clipped: Numbers = np.clip(values, -1.0, 1.0)
    return clipped
