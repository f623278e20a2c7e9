"""Matches by the correlation of activations over the same tokens, exact and sparse.

Pearson's correlation over all n tokens, those where neither fires included:

    r = (sum_t a_t b_t / n - mean(a) mean(b)) / (sd(a) sd(b))

Only tokens on which both fire add to the sum, so that it costs as many products as there are such
pairs of firings. Sums are float64; nothing of the size of features times features is kept.

The null are the same activations with the second dictionary's moved along the text: each keeps its
density, its maxima and its company, and loses what it has to do with the first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sae_core.evaluation.comparison.firings import TokenFirings
from sae_core.evaluation.comparison.limits import FEWEST_FIRINGS
from sae_core.evaluation.comparison.matches import BestMatches, Matches

_DENSE_GAIN = 600  # so many products of a dense multiplication take as long as a sparse one
_DENSE_TOKENS = 4_096
_DENSE_ROWS = 1_024
_SPARSE_ROWS = 64
_SPARSE_PRODUCTS = 2_000_000


def judged(firings: TokenFirings) -> NDArray[np.int64]:
    """The features that fire often enough, and change at all, to be correlated, ascending."""
    often = firings.counts >= FEWEST_FIRINGS
    return np.flatnonzero(often & (firings.deviations > 0))


def correlation_matches(
    first: TokenFirings,
    second: TokenFirings,
    dense: bool | None = None,
    keep: NDArray[np.float32] | None = None,
) -> BestMatches:
    """Best matches both ways among the features that can be judged.

    Args:
        first: whose features are the rows.
        second: whose features are the columns, on the same tokens.
        dense: multiply dense blocks; None: where that is faster, as for neurons.
        keep: takes all correlations of the features that can be judged, [n, m].
    """
    judged_rows = judged(first)
    best = BestMatches(first.d_sae, second.d_sae)
    for rows, columns, table in correlations(first, second, dense):
        best.see(rows, columns, table)
        if keep is not None:
            keep[np.searchsorted(judged_rows, rows)] = table
    return best


def correlations(
    first: TokenFirings, second: TokenFirings, dense: bool | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Rows [r], columns [c] and their correlations [r, c], some rows at a time."""
    rows, columns = judged(first), judged(second)
    if not (len(rows) and len(columns)):
        return
    if dense is None:
        dense = _pairs(first, second) * _DENSE_GAIN > first.n_tokens * len(rows) * len(columns)
    n = first.n_tokens
    means, deviations = second.means[columns], second.deviations[columns]
    for part, sums in (_dense_sums if dense else _sparse_sums)(first, second, rows, columns):
        covariances = sums / n - first.means[part, None] * means
        table = covariances / (first.deviations[part, None] * deviations)
        yield part, columns, np.clip(table, -1.0, 1.0)


def _pairs(first: TokenFirings, second: TokenFirings) -> int:
    """Pairs of firings on the same token."""
    here, there = np.diff(first.by_token.indptr), np.diff(second.by_token.indptr)
    return int((here.astype(np.int64) * there).sum())


def _sparse_sums(
    first: TokenFirings,
    second: TokenFirings,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Sums over tokens of products, [r, c] for some rows at a time."""
    by_feature, by_token = first.by_feature, second.by_token
    lengths = np.diff(by_token.indptr)
    for part in _blocks(first.counts[rows] * int(lengths.mean() + 1), rows):
        # All tokens on which these rows fire, and all that fires there of the second.
        own = [slice(by_feature.indptr[row], by_feature.indptr[row + 1]) for row in part]
        tokens = np.concatenate([by_feature.indices[at] for at in own])
        values = np.concatenate([by_feature.data[at] for at in own]).astype(np.float64)
        places = np.repeat(np.arange(len(part)) * second.d_sae, first.counts[part])
        there = by_token[tokens]
        keys = np.repeat(places, lengths[tokens]) + there.indices
        products = np.repeat(values, lengths[tokens]) * there.data
        sums = np.asarray(np.bincount(keys, products, len(part) * second.d_sae), np.float64)
        yield part, sums.reshape(len(part), second.d_sae)[:, columns]


def _blocks(costs: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Consecutive rows, cut so that a block has a bounded number of products, or one row."""
    begin, cost = 0, 0
    for end, more in enumerate(costs.tolist()):
        if end > begin and (end - begin == _SPARSE_ROWS or cost + more > _SPARSE_PRODUCTS):
            yield rows[begin:end]
            begin, cost = end, 0
        cost += more
    yield rows[begin:]


def _dense_sums(
    first: TokenFirings,
    second: TokenFirings,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """As `_sparse_sums`, by dense float32 products of a few thousand tokens, many rows at once."""
    for begin in range(0, len(rows), _DENSE_ROWS):
        part = rows[begin : begin + _DENSE_ROWS]
        total = np.zeros((len(part), len(columns)))
        for at in range(0, first.n_tokens, _DENSE_TOKENS):
            here = first.by_token[at : at + _DENSE_TOKENS].toarray()[:, part]
            there = second.by_token[at : at + _DENSE_TOKENS].toarray()[:, columns]
            total += here.T @ there
        yield part, total


def left_out_correlations(
    first: TokenFirings, second: TokenFirings, matches: Matches, groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The correlation of each feature with its match, without one group of tokens after another.

    Args:
        first: whose features have matches.
        second: whose features they are.
        matches: of the first's features, of which m have one.
        groups: of each token, 0 to g - 1, int64 [n_tokens].

    Returns:
        float64 [g, m]; nan where one of the two never changes on what is left.
    """
    own = np.flatnonzero(matches.known)
    here = sparse.csr_array(first.by_token[:, own].astype(np.float64))
    there = sparse.csr_array(second.by_token[:, matches.indices[own]].astype(np.float64))
    n_tokens = np.bincount(groups)
    places = (groups, np.arange(len(groups)))
    sums_of = sparse.csr_array((np.ones(len(groups)), places), (len(n_tokens), len(groups)))

    def means(values: sparse.csr_array) -> NDArray[np.float64]:
        sums = (sums_of @ values).toarray()
        left = np.maximum(1, n_tokens.sum() - n_tokens)
        return np.asarray((sums.sum(axis=0) - sums) / left[:, None])

    covariances = means(here.multiply(there)) - means(here) * means(there)
    variances = [means(side.power(2)) - means(side) ** 2 for side in (here, there)]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = covariances / np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0))
    return np.where(np.isfinite(values), values, np.nan)
