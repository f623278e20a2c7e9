"""TopK: the k largest features of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from sae_core.dictionaries.dictionary import Dictionary, Encoder, Firings, Output, output_of
from sae_core.errors import CheckpointError
from sae_core.files.json_config import JsonConfig

_RACE = 256
_FEW = 4  # rows that are encoded sooner than raced


class TopKDictionary(Dictionary):
    """TopK: f = relu(top_k((x - b_dec) W_enc + b_enc)), all but the k largest set to 0.

    Source: Gao et al. 2024, "Scaling and evaluating sparse autoencoders". With
    `rescale_acts_by_decoder_norm` the pre-activations are multiplied by ||W_dec_f|| before the
    choice, and decoder rows have unit norm (SAELens 6).
    """

    architecture = "topk"
    transcoder_architecture = "topk_transcoder"

    def __init__(
        self,
        hook_point: str,
        d_in: int,
        d_sae: int,
        k: int,
        apply_b_dec_to_input: bool = True,
        rescale_acts_by_decoder_norm: bool = False,
        output: Output | None = None,
    ) -> None:
        super().__init__(hook_point, d_in, d_sae, apply_b_dec_to_input, output)
        if not 0 < k <= d_sae:
            raise CheckpointError(f"k = {k} does not fit a dictionary of {d_sae} features.")
        if rescale_acts_by_decoder_norm and output is not None and output.later_blocks:
            raise CheckpointError(
                "Activations in units of decoder rows' norms (rescale_acts_by_decoder_norm) are "
                "not read of a transcoder that writes into several blocks: fold the norms in."
            )
        self.k = k
        self.rescale_acts_by_decoder_norm = rescale_acts_by_decoder_norm
        self._allocate()

    @override
    @classmethod
    def from_config(cls, hook_point: str, config: JsonConfig) -> Self:
        output = output_of(config)
        return cls(
            hook_point,
            config.size("d_in"),
            config.size("d_sae"),
            config.size("k"),
            config.flag("apply_b_dec_to_input", output is None),
            config.flag("rescale_acts_by_decoder_norm", False),
            output,
        )

    @override
    def own_config(self) -> dict[str, Any]:
        return {"k": self.k, "rescale_acts_by_decoder_norm": self.rescale_acts_by_decoder_norm}

    @override
    def pre_activations(self, x: Tensor) -> Tensor:
        pre = super().pre_activations(x)
        return pre * self.W_dec.norm(dim=-1) if self.rescale_acts_by_decoder_norm else pre

    @override
    def activate(self, pre: Tensor) -> Tensor:
        values, indices = largest(pre, self.k)
        return torch.zeros_like(pre).scatter_(-1, indices, torch.relu(values))

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

    @override
    def encoder_of(self, features: Sequence[int]) -> Encoder:
        own = list(features)
        columns, biases = self.W_enc[:, own], self.b_enc[own]

        def encode(x: Tensor) -> Tensor:
            # All features run for the k places. Scales are positive: where none of these is above
            # 0 before it is scaled, none has a place; elsewhere all are encoded.
            flat = self.encoder_input(x).reshape(-1, self.d_in)
            above = torch.addmm(biases, flat, columns) > 0
            acts = flat.new_zeros(len(flat), len(own))
            if not bool(above.any()):
                return acts.view(*x.shape[:-1], len(own))
            open_rows = above.any(dim=-1).nonzero()[:, 0]
            if len(open_rows) > _FEW:
                return torch.stack([self.encode_feature(x, one) for one in own], dim=-1)
            pre = self._pre_of(flat[open_rows], slice(None))
            acts[open_rows] = self.activate(pre)[:, own]
            return acts.view(*x.shape[:-1], len(own))

        return encode

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
        return sparse_top(*largest(self.pre_activations(x), self.k))

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


def largest(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row of [..., d_sae] and their features, [..., k] each.

    Of features that are exactly as large as the last of them, the first are taken: `topk` itself
    chooses by the sizes of the problem, so that two passes could differ.
    """
    n = pre.shape[-1]
    if k >= n:
        return pre, torch.arange(n, device=pre.device).expand(pre.shape)
    values, indices = pre.topk(k + 1, dim=-1)
    tied = ((values[..., k - 1] == values[..., k]) & (values[..., k] > 0)).nonzero(as_tuple=True)
    values, indices = values[..., :k], indices[..., :k]
    if len(tied[0]):
        order = pre[tied].sort(dim=-1, descending=True, stable=True)
        values, indices = values.clone(), indices.clone()
        values[tied], indices[tied] = order.values[:, :k], order.indices[:, :k]
    return values, indices


def sparse_top(values: Tensor, indices: Tensor) -> Firings:
    """The positive ones among each row's chosen features, [n, k] each, as firings."""
    order = indices.argsort(dim=-1)
    indices, values = indices.gather(-1, order), values.gather(-1, order)
    rows, column = (values > 0).nonzero(as_tuple=True)
    return Firings(rows, indices[rows, column], values[rows, column].float())
