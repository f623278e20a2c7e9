"""Which features fire together, and which point the same way."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.records import Ranking

N_SHOWN = 10
DENSE_UP_TO = 1024


def joint_counts(log: FiringLog) -> sparse.csr_array:
    """Tokens of the joint sample on which both features fire, [d_sae, d_sae], int64.

    The diagonal holds each feature's firings in the sample.
    """
    d_sae = log.header.d_sae
    if d_sae <= DENSE_UP_TO:
        return sparse.csr_array(_dense_counts(log))
    total = sparse.csr_array((d_sae, d_sae), dtype=np.int64)
    for tokens, features in log.joint_firings():
        total = total + _sparse_product(tokens, features, d_sae)
    return total


def _dense_counts(log: FiringLog) -> NDArray[np.int64]:
    """As `joint_counts`, by dense products, [d_sae, d_sae]: faster for few features."""
    d_sae = log.header.d_sae
    total = np.zeros((d_sae, d_sae), dtype=np.int64)
    for tokens, features in log.joint_firings():
        order = np.argsort(tokens, kind="stable")
        tokens, features = tokens[order], features[order]
        # Blocks far below 2^24 tokens: float32 counts are exact.
        if not len(tokens):
            continue  # a run in which nothing of the joint sample fired
        cuts = np.searchsorted(tokens, np.arange(0, tokens[-1] + 1, 16_384))
        for begin, end in zip(cuts, [*cuts[1:], len(tokens)], strict=True):
            block = torch.zeros(16_384, d_sae)
            block[tokens[begin:end] % 16_384, features[begin:end]] = 1.0
            total += (block.T @ block).numpy().astype(np.int64)
    return total


def _sparse_product(
    tokens: NDArray[np.int64], features: NDArray[np.int64], d_sae: int
) -> sparse.csr_array:
    """Joint counts of some firings, [d_sae, d_sae]: token and feature of each, [n]."""
    n = int(tokens.max()) + 1 if len(tokens) else 0
    ones = np.ones(len(tokens), dtype=np.int32)
    fires = sparse.csr_array((ones, (tokens, features)), shape=(n, d_sae))
    return sparse.csr_array(fires.T @ fires).astype(np.int64)


def coactive(counts: sparse.csr_array, firings: NDArray[np.int64], feature: int) -> Ranking:
    """The features with the largest Jaccard index |both| / |either|, and the share of this
    feature's firings on which each fires too; all within the joint sample.

    Args:
        counts: what `joint_counts` returned, [d_sae, d_sae].
        firings: its diagonal, int64 [d_sae].
        feature: index of the feature.
    """
    begin, end = counts.indptr[feature], counts.indptr[feature + 1]
    others, both = counts.indices[begin:end], counts.data[begin:end]
    keep = others != feature
    others, both = others[keep], both[keep]
    jaccard = both / (firings[feature] + firings[others] - both)
    # Ties go to the lower index, so that the order never depends on the sum's.
    order = np.lexsort((others, -jaccard))[:N_SHOWN]
    return Ranking(
        others[order].astype(np.int32),
        jaccard[order].astype(np.float32),
        (both[order] / max(1, firings[feature])).astype(np.float32),
    )


def nearest(decoder_rows: Tensor, first: int, last: int) -> list[Ranking]:
    """For features `first` to `last - 1` those with the largest decoder cosine.

    Args:
        decoder_rows: those of all features, [d_sae, d_in].
        first: the first feature.
        last: one behind the last feature.
    """
    unit = torch.nn.functional.normalize(decoder_rows.float(), dim=-1)
    cosine = unit[first:last] @ unit.T
    cosine[torch.arange(last - first), torch.arange(first, last)] = -torch.inf
    top = cosine.topk(min(N_SHOWN, cosine.shape[1] - 1), dim=-1)
    none = np.zeros(0, dtype=np.float32)
    return [
        Ranking(ids.numpy().astype(np.int32), weights.numpy(), none)
        for ids, weights in zip(top.indices.cpu(), top.values.cpu(), strict=True)
    ]


def aligned_neurons(decoder_rows: Tensor, first: int, last: int) -> list[Ranking]:
    """For features `first` to `last - 1` the entries of d_f largest in magnitude, each with its
    share of ||d_f||_1."""
    rows = decoder_rows[first:last].float()
    size = rows.abs().sum(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    index = rows.abs().topk(min(N_SHOWN, rows.shape[1]), dim=-1).indices
    weights = rows.gather(-1, index)
    shares = weights.abs() / size
    return [
        Ranking(i.numpy().astype(np.int32), w.numpy(), s.numpy())
        for i, w, s in zip(index.cpu(), weights.cpu(), shares.cpu(), strict=True)
    ]
