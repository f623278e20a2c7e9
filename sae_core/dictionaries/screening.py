"""Exact sparse encoding, screened in bfloat16.

A dense float32 encode spends nearly all of its time on features that stay silent. Here every
pre-activation is first computed in bfloat16, several times faster, and a bound on its error says
which features may fire; only those are computed again in float32.

- TopK: the best few more than k are computed again, and the bound proves, row by row, that no other
  can be among the k largest. Rows without such a proof are encoded densely.
- ReLU, gates and thresholds: a feature cannot fire where its rough value lies further below its bar
  than the bound. Batches in which most may fire are encoded densely.
"""

from __future__ import annotations

import warnings
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sae_core.dictionaries.architectures.gated import GatedDictionary
from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary, sparse_top
from sae_core.dictionaries.dictionary import Dictionary, Firings
from sae_core.dictionaries.normalised import NormalisedDictionary, rescaled

SPARE = 24
CROWDED = 1 / 16  # of all values: more candidates than this cost more than a dense encode
_WIDE = 1024  # features: fewer are not worth a screen
_ROUNDING = 1.01 * 2.0**-8  # of a bfloat16 result: half a unit in the last of 8 places
_SUMMATION = 1e-5  # of float32 sums over d_in terms, relative to the norms


class Encoder(Protocol):
    """Whatever gives the firings among activations [n, d_in]."""

    def encode_sparse(self, x: Tensor) -> Firings:
        """See `Dictionary.encode_sparse`."""
        ...


def screened(dictionary: Dictionary) -> Encoder:
    """The dictionary, or where it gains by it a faster encoder with the same result."""
    if isinstance(dictionary, NormalisedDictionary):
        inner = screened(dictionary.inner)
        return dictionary if inner is dictionary.inner else ScreenedNormalised(dictionary, inner)
    if isinstance(dictionary, TopKDictionary):
        wide = dictionary.d_sae >= 8 * (dictionary.k + SPARE)
        plain = not dictionary.rescale_acts_by_decoder_norm
        return ScreenedTopK(dictionary) if wide and plain and _quick(dictionary) else dictionary
    if isinstance(dictionary, (StandardDictionary, JumpReLUDictionary, GatedDictionary)):
        wide = dictionary.d_sae >= _WIDE
        return ScreenedThreshold(dictionary) if wide and _quick(dictionary) else dictionary
    return dictionary


def _quick(dictionary: Dictionary) -> bool:
    """Whether bfloat16 is the faster way here."""
    return (
        dictionary.W_enc.device.type == "cpu"
        and dictionary.W_enc.dtype == torch.float32
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


class RoughEncoder:
    """x W_enc in bfloat16, and how far off it may be.

    Memory: a bfloat16 copy of W_enc.
    """

    def __init__(self, weight: Tensor, offset: Tensor) -> None:
        """Of W_enc [d_in, d_sae], and what is added to the products, [d_sae]."""
        self._weight = weight.to(torch.bfloat16)
        self._offset = offset.to(torch.bfloat16)
        self._norm = float(weight.norm(dim=0).max())
        self._error = float((weight - self._weight.float()).norm(dim=0).max())
        self._largest = float(offset.abs().max())

    def products(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Of u [n, d_in] float32.

        Returns:
            Rough values r [n, d_sae] bfloat16; and for each row the `slack` [n] of the bound
            |r - (u W_enc + offset)| <= slack + 2^-8 |r| (1 + 1 %), which holds for the float32 sums
            of any order too. Two roundings of the offset are counted where there is one.
        """
        rough_u = u.to(torch.bfloat16)
        rough = torch.addmm(self._offset, rough_u, self._weight)
        slack = (u - rough_u.float()).norm(dim=-1) * self._norm
        slack += u.norm(dim=-1) * (self._error * (1 + _ROUNDING) + _SUMMATION * self._norm)
        return rough, slack + 2 * _ROUNDING * self._largest


class ScreenedTopK:
    """A TopK dictionary's `encode_sparse`, screened."""

    def __init__(self, dictionary: TopKDictionary) -> None:
        self.dictionary = dictionary
        self._rough = RoughEncoder(dictionary.W_enc, dictionary.b_enc)

    def encode_sparse(self, x: Tensor) -> Firings:
        """As `TopKDictionary.encode_sparse` for x [n, d_in], up to float32 rounding."""
        dictionary, k = self.dictionary, self.dictionary.k
        x = dictionary.encoder_input(x)
        rough, slack = self._rough.products(x)
        best = rough.topk(k + SPARE, dim=-1, sorted=False)
        n, m = best.indices.shape
        columns = best.indices.flatten()
        products = _products_at(x, dictionary.W_enc, torch.arange(0, n * m + 1, m), columns)
        exact = products.view(n, m) + dictionary.b_enc[best.indices]
        top = exact.topk(k, dim=-1, sorted=False)
        values, indices = top.values, best.indices.gather(-1, top.indices)

        losers = best.values.amin(dim=-1).float()
        error = slack + _ROUNDING * losers.abs()
        # What is not above 0 fires nowhere, whether it is among the k or not.
        open_rows = (losers + error >= values.amin(dim=-1).clamp_min(1e-30)).nonzero()[:, 0]
        if len(open_rows):
            dense = torch.addmm(dictionary.b_enc, x[open_rows], dictionary.W_enc)
            sure = dense.topk(k, dim=-1, sorted=False)
            values[open_rows], indices[open_rows] = sure.values, sure.indices
        return sparse_top(values, indices)


class ScreenedThreshold:
    """The `encode_sparse` of a dictionary with ReLU, gates or thresholds, screened.

    With u the encoder's input and p = u W_enc, a feature fires only where p + c > 0:

        ReLU:      c = b_enc;
        JumpReLU:  c = b_enc - max(threshold, 0);
        gated:     c = min(b_gate, b_mag exp(-r_mag)), as both gate and magnitude are open.
    """

    def __init__(
        self, dictionary: StandardDictionary | JumpReLUDictionary | GatedDictionary
    ) -> None:
        self.dictionary = dictionary
        self._rough = RoughEncoder(dictionary.W_enc, _bar(dictionary))

    def encode_sparse(self, x: Tensor) -> Firings:
        """As the dictionary's own for x [n, d_in], up to float32 rounding."""
        dictionary = self.dictionary
        u = dictionary.encoder_input(x)
        rough, slack = self._rough.products(u)
        # Where p + c > 0, r >= -slack - 2^-8 |r|: so r (1 - 2^-8) >= -slack if it is below 0.
        silent = rough < (-slack / (1 - _ROUNDING))[:, None]
        # NumPy finds what is not zero many times faster than PyTorch.
        flat = np.flatnonzero(silent.logical_not_().numpy())
        if len(flat) > CROWDED * rough.numel():
            return dictionary.encode_sparse(x)
        rows, features = np.divmod(flat, dictionary.d_sae)
        starts = np.zeros(len(x) + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=len(x)), out=starts[1:])
        columns = torch.from_numpy(features)
        products = _products_at(u, dictionary.W_enc, torch.from_numpy(starts), columns)
        values = _activated(dictionary, products, columns)
        fires = values != 0
        return Firings(torch.from_numpy(rows)[fires], columns[fires], values[fires])


class ScreenedNormalised:
    """A normalised dictionary whose inner one is screened."""

    def __init__(self, dictionary: NormalisedDictionary, inner: Encoder) -> None:
        self.dictionary = dictionary
        self._inner = inner

    def encode_sparse(self, x: Tensor) -> Firings:
        """As `NormalisedDictionary.encode_sparse` for x [n, d_in], up to float32 rounding."""
        z, scale, _ = self.dictionary.normalise(x)
        return rescaled(self._inner.encode_sparse(z), scale[:, 0])


def _bar(dictionary: StandardDictionary | JumpReLUDictionary | GatedDictionary) -> Tensor:
    """What must be added to p for a sign that says whether a feature may fire, [d_sae]."""
    if isinstance(dictionary, GatedDictionary):
        return torch.minimum(dictionary.b_gate, dictionary.b_mag * (-dictionary.r_mag).exp())
    if isinstance(dictionary, JumpReLUDictionary):
        return dictionary.b_enc - dictionary.threshold.clamp_min(0.0)
    return dictionary.b_enc


def _activated(
    dictionary: StandardDictionary | JumpReLUDictionary | GatedDictionary,
    products: Tensor,
    features: Tensor,
) -> Tensor:
    """Activations [n] of those features, from their products p with the encoder's columns."""
    if isinstance(dictionary, GatedDictionary):
        gates = dictionary.b_gate[features], dictionary.r_mag[features], dictionary.b_mag[features]
        return torch.relu(dictionary.gated(products, *gates))
    values = torch.relu(products + dictionary.b_enc[features])
    if isinstance(dictionary, JumpReLUDictionary):
        values = values * (values > dictionary.threshold[features])
    return values


def _products_at(u: Tensor, weight: Tensor, starts: Tensor, columns: Tensor) -> Tensor:
    """Float32 products of rows of u [n, d_in] with some columns of W_enc each.

    Args:
        u: float32.
        weight: [d_in, d_sae] float32.
        starts: where each row's columns begin, int64 [n + 1].
        columns: int64 [m].

    Returns:
        [m].
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        pattern = torch.sparse_csr_tensor(
            starts,
            columns,
            torch.zeros(len(columns)),
            size=(len(u), weight.shape[1]),
            check_invariants=False,
        )
        products: Tensor = torch.sparse.sampled_addmm(pattern, u, weight, beta=0.0).values()
    return products
