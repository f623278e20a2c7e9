"""Sparse activations of a batch, and the three products a step needs of them.

Only entries that fire cost anything: decoding, the gradient at each entry, and the gradients of the
weights are weighted sums of rows, which `embedding_bag` computes on every device.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Codes:
    """Activations of a batch of n tokens; entries lie token by token.

    Attributes:
        rows: the token of each entry, int64 [nnz], rising.
        features: the feature of each entry, int64 [nnz].
        values: activations >= 0, [nnz].
        offsets: where each bag of entries begins, int64 [bags]. A bag is a token, or a part of one.
        bags: the bag of each entry, int64 [nnz]; `rows` where a bag is a token.
    """

    rows: Tensor
    features: Tensor
    values: Tensor
    offsets: Tensor
    bags: Tensor


def codes_of_top(values: Tensor, features: Tensor) -> Codes:
    """Codes with the same number of entries for each token: values and features, [n, k] each."""
    n, k = features.shape
    rows = torch.arange(n, device=features.device).repeat_interleave(k)
    offsets = torch.arange(0, n * k, k, device=features.device)
    return Codes(rows, features.flatten(), values.flatten(), offsets, rows)


def codes_of_entries(rows: Tensor, features: Tensor, values: Tensor, n: int) -> Codes:
    """Codes of n tokens from entries [nnz], whose rows are rising."""
    return Codes(rows, features, values, begins(rows, n), rows)


def begins(sorted_bags: Tensor, n: int) -> Tensor:
    """Where each of n bags begins among entries ordered by bag, int64 [n]."""
    counts = torch.bincount(sorted_bags, minlength=n)
    return counts.cumsum(0) - counts


def weighted_rows(matrix: Tensor, indices: Tensor, weights: Tensor, offsets: Tensor) -> Tensor:
    """For each bag the sum of weights[e] * matrix[indices[e]] over its entries: [bags, d]."""
    return functional.embedding_bag(
        indices, matrix, offsets, mode="sum", per_sample_weights=weights.to(matrix.dtype)
    )


def decode(codes: Codes, W_dec: Tensor) -> Tensor:
    """For each bag the sum of value * decoder row, [bags, d_in]; b_dec is not in it."""
    return weighted_rows(W_dec, codes.features, codes.values, codes.offsets)


def along(codes: Codes, gradient: Tensor, W_dec: Tensor) -> Tensor:
    """gradient[bag] . W_dec[feature] of each entry, [nnz]: the gradient by the entry's value."""
    if gradient.device.type == "cpu":
        return _sampled(codes, gradient, W_dec)
    values = codes.values.detach().to(W_dec.dtype).requires_grad_()
    with torch.enable_grad():
        bags = weighted_rows(W_dec.detach(), codes.features, values, codes.offsets)
    return torch.autograd.grad(bags, values, gradient)[0]


def _sampled(codes: Codes, gradient: Tensor, W_dec: Tensor) -> Tensor:
    """`along` as a sampled product, half the time of `embedding_bag`'s own backward on a CPU."""
    nnz = len(codes.features)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        pattern = torch.sparse_csr_tensor(
            torch.cat([codes.offsets, codes.offsets.new_tensor([nnz])]),
            codes.features,
            gradient.new_zeros(nnz),
            size=(len(gradient), len(W_dec)),
            check_invariants=False,
        )
        products = torch.sparse.sampled_addmm(pattern, gradient, W_dec.T, beta=0.0)
    entries: Tensor = products.values()
    return entries


class ByFeature:
    """The entries of codes in the order of features, for the gradients of weights."""

    def __init__(self, codes: Codes, d_sae: int) -> None:
        # Small integers sort several times faster.
        keys = codes.features.to(torch.int16 if d_sae <= 2**15 else torch.int32)
        ordered, self._order = keys.sort(stable=True)
        self._offsets = begins(ordered.long(), d_sae)
        self._codes = codes

    def sums_of_rows(self, weights: Tensor, matrix: Tensor) -> Tensor:
        """For each feature the sum of weight * matrix[token] over its entries, [d_sae, d]."""
        return self._sums(weights, matrix, self._codes.rows)

    def sums_of_bags(self, weights: Tensor, matrix: Tensor) -> Tensor:
        """For each feature the sum of weight * matrix[bag] over its entries, [d_sae, d]."""
        return self._sums(weights, matrix, self._codes.bags)

    def sums(self, weights: Tensor) -> Tensor:
        """For each feature the sum of its entries' weights [nnz]: [d_sae]."""
        lengths = torch.diff(self._offsets, append=self._offsets.new_tensor([len(self._order)]))
        return torch.segment_reduce(
            weights.index_select(0, self._order), "sum", lengths=lengths, initial=0
        )

    def _sums(self, weights: Tensor, matrix: Tensor, indices: Tensor) -> Tensor:
        indices = indices.index_select(0, self._order)
        return weighted_rows(matrix, indices, weights.index_select(0, self._order), self._offsets)


def nested(codes: Codes, borders: tuple[int, ...], n: int) -> Codes:
    """The same entries of n tokens; a bag is what a token has between two borders.

    Bag i * J + j holds the entries of token i with borders[j - 1] <= feature < borders[j].
    """
    edges = torch.tensor(borders, device=codes.features.device)
    bags = codes.rows * len(borders) + torch.bucketize(codes.features, edges, right=True)
    order = bags.argsort(stable=True)
    bags = bags[order]
    return Codes(
        codes.rows[order],
        codes.features[order],
        codes.values[order],
        begins(bags, n * len(borders)),
        bags,
    )
