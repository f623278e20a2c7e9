"""Dictionaries: sparse autoencoders at one hook point, each class with its equation.

Notation: x [..., d_in] is the model's activation, f [..., d_sae] the features' activations. Every
activation and decoder row that leaves a class is in units of the model's own activation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from sae_core.errors import CheckpointError

_RACE = 256
_FEW = 4  # rows that are encoded sooner than raced


@dataclass(frozen=True)
class Firings:
    """The non-zero activations of a batch, ordered by row, then feature.

    Attributes:
        rows: index of the token in the batch, int64 [n].
        features: int64 [n].
        values: activations > 0, model units, float32 [n].
    """

    rows: Tensor
    features: Tensor
    values: Tensor


class Dictionary(nn.Module):
    """What all architectures share: the weights' shapes and the linear decoder.

    Equation: x_hat = f W_dec + b_dec, with W_dec [d_sae, d_in] and b_dec [d_in].
    """

    architecture: str
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor

    def __init__(
        self, hook_point: str, d_in: int, d_sae: int, apply_b_dec_to_input: bool = False
    ) -> None:
        super().__init__()
        self.hook_point = hook_point
        self.d_in = d_in
        self.d_sae = d_sae
        self.apply_b_dec_to_input = apply_b_dec_to_input

    def _allocate(self) -> None:
        self.W_enc = nn.Parameter(torch.zeros(self.d_in, self.d_sae))
        self.b_enc = nn.Parameter(torch.zeros(self.d_sae))
        self.W_dec = nn.Parameter(torch.zeros(self.d_sae, self.d_in))
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))

    def encoder_input(self, x: Tensor) -> Tensor:
        """x, less b_dec where the dictionary was trained so. Shape [..., d_in]."""
        x = x.to(self.b_dec.dtype)
        return x - self.b_dec if self.apply_b_dec_to_input else x

    def pre_activations(self, x: Tensor) -> Tensor:
        """Encoder output before the nonlinearity, [..., d_sae]."""
        return self.encoder_input(x) @ self.W_enc + self.b_enc

    def activate(self, pre: Tensor) -> Tensor:
        """The nonlinearity: pre-activations [..., d_sae] to activations [..., d_sae]."""
        return torch.relu(pre)

    def encode(self, x: Tensor) -> Tensor:
        """Activations of all features, [..., d_sae], >= 0."""
        return self.activate(self.pre_activations(x))

    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        """Activations of one feature, [...]; equal to `encode(x)[..., feature]`."""
        pre = self.encoder_input(x) @ self.W_enc[:, feature] + self.b_enc[feature]
        return torch.relu(pre)

    def encode_sparse(self, x: Tensor) -> Firings:
        """The firings among x [n, d_in]; equal to the non-zero entries of `encode(x)`."""
        acts = self.encode(x)
        rows, features = acts.nonzero(as_tuple=True)
        return Firings(rows, features, acts[rows, features].float())

    def decode(self, acts: Tensor) -> Tensor:
        """Reconstruction x_hat [..., d_in] of activations [..., d_sae]."""
        return acts @ self.decoder_rows + self.b_dec

    def decode_sparse(self, firings: Firings, n: int) -> Tensor:
        """Reconstruction x_hat [n, d_in] of the firings of n tokens; equal to `decode`."""
        places = torch.arange(n, device=firings.rows.device)
        begin = torch.searchsorted(firings.rows, places)
        rows = self.decoder_rows
        x_hat = functional.embedding_bag(
            firings.features,
            rows,
            begin,
            mode="sum",
            per_sample_weights=firings.values.to(rows.dtype),
        )
        return x_hat + self.b_dec

    @property
    def decoder_rows(self) -> Tensor:
        """d_f for each feature, [d_sae, d_in], model units."""
        return self.W_dec

    def decoder_row(self, feature: int) -> Tensor:
        """d_f of one feature, [d_in], model units."""
        return self.decoder_rows[feature]

    def rows_of(self, features: Tensor) -> Tensor:
        """d_f of some features [n]: [n, d_in], model units; equal to `decoder_rows[features]`."""
        return self.W_dec[features]

    def along_rows(self, vectors: Tensor) -> Tensor:
        """Dot products of vectors [..., d_in] with d_f of each feature, [..., d_sae]."""
        return vectors @ self.decoder_rows.T

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class StandardDictionary(Dictionary):
    """ReLU: f = relu((x - b_dec) W_enc + b_enc).

    Source: Bricken et al. 2023, "Towards Monosemanticity". The subtraction of b_dec depends on
    `apply_b_dec_to_input`.
    """

    architecture = "standard"

    def __init__(
        self, hook_point: str, d_in: int, d_sae: int, apply_b_dec_to_input: bool = True
    ) -> None:
        super().__init__(hook_point, d_in, d_sae, apply_b_dec_to_input)
        self._allocate()


class JumpReLUDictionary(Dictionary):
    """JumpReLU: f = z * 1[z > threshold], z = relu(x W_enc + b_enc).

    Source: Rajamanoharan et al. 2024. BatchTopK dictionaries are kept in this form, with the
    threshold they learned.
    """

    architecture = "jumprelu"

    def __init__(
        self, hook_point: str, d_in: int, d_sae: int, apply_b_dec_to_input: bool = False
    ) -> None:
        super().__init__(hook_point, d_in, d_sae, apply_b_dec_to_input)
        self._allocate()
        self.threshold = nn.Parameter(torch.zeros(d_sae))

    @override
    def activate(self, pre: Tensor) -> Tensor:
        relu = torch.relu(pre)
        return relu * (relu > self.threshold)

    @override
    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        relu = super().encode_feature(x, feature)
        return relu * (relu > self.threshold[feature])


class TopKDictionary(Dictionary):
    """TopK: f = relu(top_k((x - b_dec) W_enc + b_enc)), all but the k largest set to 0.

    Source: Gao et al. 2024, "Scaling and evaluating sparse autoencoders". With
    `rescale_acts_by_decoder_norm` the pre-activations are multiplied by ||W_dec_f|| before the
    choice, and decoder rows have unit norm (SAELens 6).
    """

    architecture = "topk"

    def __init__(
        self,
        hook_point: str,
        d_in: int,
        d_sae: int,
        k: int,
        apply_b_dec_to_input: bool = True,
        rescale_acts_by_decoder_norm: bool = False,
    ) -> None:
        super().__init__(hook_point, d_in, d_sae, apply_b_dec_to_input)
        if not 0 < k <= d_sae:
            raise CheckpointError(f"k = {k} does not fit a dictionary of {d_sae} features.")
        self.k = k
        self.rescale_acts_by_decoder_norm = rescale_acts_by_decoder_norm
        self._allocate()

    @override
    def pre_activations(self, x: Tensor) -> Tensor:
        pre = super().pre_activations(x)
        return pre * self.W_dec.norm(dim=-1) if self.rescale_acts_by_decoder_norm else pre

    @override
    def activate(self, pre: Tensor) -> Tensor:
        top = pre.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter_(-1, top.indices, torch.relu(top.values))

    @override
    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        flat = self.encoder_input(x).reshape(-1, self.d_in)
        own = torch.relu(self._pre_of(flat, slice(feature, feature + 1))[:, 0])
        open_rows = own.nonzero()[:, 0]
        if len(open_rows) > _FEW:
            open_rows = self._contenders(flat, own, open_rows, feature)
        acts = torch.zeros_like(own)
        if len(open_rows):
            pre = self._pre_of(flat[open_rows], slice(None))
            acts[open_rows] = self.activate(pre)[:, feature]
        return acts.view(x.shape[:-1])

    def _contenders(self, flat: Tensor, own: Tensor, rows: Tensor, feature: int) -> Tensor:
        """Those of some rows in which the feature may be among the k largest.

        In most there are k larger ones long before all are looked at. The margin, relative to what
        was summed up, keeps rounding from deciding a close race here, or the feature from beating
        itself.
        """
        margin = flat.norm(dim=-1) * self.W_enc[:, feature].norm() + self.b_enc[feature].abs()
        if self.rescale_acts_by_decoder_norm:
            margin = margin * self.W_dec[feature].norm()
        bars = own + 1e-5 * margin
        ahead = torch.zeros_like(rows)
        for first in range(0, self.d_sae, _RACE):
            rivals = self._pre_of(flat[rows], slice(first, first + _RACE))
            ahead = ahead + (rivals > bars[rows, None]).sum(dim=-1)
            rows, ahead = rows[ahead < self.k], ahead[ahead < self.k]
            if len(rows) <= _FEW:
                break
        return rows

    def _pre_of(self, x: Tensor, features: slice) -> Tensor:
        """Pre-activations of some features, for encoder inputs [n, d_in]."""
        pre = torch.addmm(self.b_enc[features], x, self.W_enc[:, features])
        if self.rescale_acts_by_decoder_norm:
            pre = pre * self.W_dec[features].norm(dim=-1)
        return pre

    @override
    def encode_sparse(self, x: Tensor) -> Firings:
        top = self.pre_activations(x).topk(self.k, dim=-1, sorted=False)
        return sparse_top(top.values, top.indices)

    @property
    @override
    def decoder_rows(self) -> Tensor:
        if self.rescale_acts_by_decoder_norm:
            return functional.normalize(self.W_dec, dim=-1)
        return self.W_dec

    @override
    def rows_of(self, features: Tensor) -> Tensor:
        rows = self.W_dec[features]
        return functional.normalize(rows, dim=-1) if self.rescale_acts_by_decoder_norm else rows


def sparse_top(values: Tensor, indices: Tensor) -> Firings:
    """The positive ones among each row's chosen features, [n, k] each, as firings."""
    order = indices.argsort(dim=-1)
    indices, values = indices.gather(-1, order), values.gather(-1, order)
    rows, column = (values > 0).nonzero(as_tuple=True)
    return Firings(rows, indices[rows, column], values[rows, column].float())


class NeuronBasis(Dictionary):
    """The neurons themselves: f = relu(x), d_f the f-th unit vector, b_dec = 0.

    Where neurons can be negative this treats their positive side; what it leaves out stays in the
    reconstruction's error.
    """

    architecture = "neurons"

    def __init__(self, hook_point: str, d_in: int) -> None:
        super().__init__(hook_point, d_in, d_in)
        self.register_buffer("b_dec", torch.zeros(d_in))

    @override
    def pre_activations(self, x: Tensor) -> Tensor:
        return x.to(self.b_dec.dtype)

    @override
    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        return torch.relu(x[..., feature].to(self.b_dec.dtype))

    @override
    def decode(self, acts: Tensor) -> Tensor:
        return acts

    @override
    def decode_sparse(self, firings: Firings, n: int) -> Tensor:
        x_hat = self.b_dec.new_zeros(n, self.d_in)
        x_hat[firings.rows, firings.features] = firings.values.to(x_hat.dtype)
        return x_hat

    @property
    @override
    def decoder_rows(self) -> Tensor:
        return torch.eye(self.d_in, dtype=self.b_dec.dtype, device=self.b_dec.device)

    @override
    def decoder_row(self, feature: int) -> Tensor:
        row = torch.zeros_like(self.b_dec)
        row[feature] = 1.0
        return row

    @override
    def rows_of(self, features: Tensor) -> Tensor:
        rows = self.b_dec.new_zeros(len(features), self.d_in)
        return rows.scatter_(1, features[:, None], 1.0)

    @override
    def along_rows(self, vectors: Tensor) -> Tensor:
        return vectors
