"""The identity dictionary: neurons, browsed like features."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.dictionary import Dictionary, Firings


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
    def decode(self, acts: Tensor, x: Tensor) -> Tensor:
        return acts

    @override
    def decode_sparse(self, firings: Firings, x: Tensor) -> Tensor:
        x_hat = self.b_dec.new_zeros(len(x), self.d_in)
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
