"""Cross-layer transcoders (CLT): features of every block, which write into it and all later ones.

With x_l what block l reads and f_l its features' activations,

    f_l = z * 1[z > threshold_l],  z = relu(x_l W_enc_l + b_enc_l),
    y_hat_m = sum_{l <= m} f_l W_dec_{l -> m} + b_dec_m.

Source: Ameisen et al. 2025, "Circuit Tracing". As a dictionary it reads the activations of all
blocks side by side, [..., layers * width], and reconstructs those of all blocks side by side;
feature `l * per_layer + i` is feature i of block l.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from sae_core.dictionaries.dictionary import Dictionary, Firings, Output


class CrossLayerTranscoder(Dictionary):
    """A cross-layer transcoder of ReLU features, or of JumpReLU ones where thresholds are above 0.

    Attributes:
        layers: number of blocks.
        per_layer: features of each.
        encoders: [layers, width read, per_layer].
        b_enc: [d_sae].
        threshold: [d_sae].
        decoders: for each block [per_layer, later blocks and itself, width written].
        b_dec: [d_out].
    """

    architecture = "cross_layer_transcoder"
    transcoder_architecture = "cross_layer_transcoder"

    def __init__(self, hook_point: str, d_in: int, d_sae: int, output: Output) -> None:
        """Make an empty one.

        Args:
            hook_point: where it reads, with `*` for the number of the block.
            d_in: width of what all blocks read together.
            d_sae: features of all blocks together.
            output: what is reconstructed; its name has a `*` as well.
        """
        super().__init__(hook_point, d_in, d_sae, False, output)
        self.layers, self.per_layer = output.layers, d_sae // output.layers
        width, written = d_in // self.layers, self.d_out // self.layers
        self.encoders = nn.Parameter(torch.zeros(self.layers, width, self.per_layer))
        self.b_enc = nn.Parameter(torch.zeros(d_sae))
        self.threshold = nn.Parameter(torch.zeros(d_sae))
        self.decoders = nn.ParameterList(
            torch.zeros(self.per_layer, self.layers - layer, written)
            for layer in range(self.layers)
        )
        self.b_dec = nn.Parameter(torch.zeros(self.d_out))

    def features_of(self, layer: int) -> slice:
        """The features of a block among all."""
        return slice(layer * self.per_layer, (layer + 1) * self.per_layer)

    def encode_layer(self, x: Tensor, layer: int) -> Tensor:
        """Activations of one block's features, [..., per_layer], of what it reads [..., width]."""
        own = self.features_of(layer)
        relu = torch.relu(x.to(self.b_dec.dtype) @ self.encoders[layer] + self.b_enc[own])
        return relu * (relu > self.threshold[own])

    def writes(self, acts: Tensor, layer: int) -> Tensor:
        """What one block's features [n, per_layer] write, [n, later blocks and itself, width]."""
        rows = self.decoders[layer]
        written: Tensor = (acts @ rows.flatten(1)).view(len(acts), *rows.shape[1:])
        return written

    @override
    def pre_activations(self, x: Tensor) -> Tensor:
        split = self._by_block(x.to(self.b_dec.dtype))
        return torch.einsum("...lw,lwf->...lf", split, self.encoders).flatten(-2) + self.b_enc

    @override
    def activate(self, pre: Tensor) -> Tensor:
        relu = torch.relu(pre)
        return relu * (relu > self.threshold)

    @override
    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        layer, own = divmod(feature, self.per_layer)
        read = self._by_block(x.to(self.b_dec.dtype))[..., layer, :]
        relu = torch.relu(read @ self.encoders[layer, :, own] + self.b_enc[feature])
        return relu * (relu > self.threshold[feature])

    @override
    def decode(self, acts: Tensor, x: Tensor) -> Tensor:
        split = self._by_block(acts)
        y_hat = self.b_dec.expand(*acts.shape[:-1], self.d_out).clone()
        for layer, begin in enumerate(self._begins()):
            y_hat[..., begin:] += split[..., layer, :] @ self.decoders[layer].flatten(1)
        return y_hat

    @override
    def decode_sparse(self, firings: Firings, x: Tensor) -> Tensor:
        places = torch.arange(len(x), device=firings.rows.device)
        y_hat = self.b_dec.expand(len(x), self.d_out).clone()
        blocks = firings.features // self.per_layer
        for layer, begin in enumerate(self._begins()):
            own = blocks == layer
            rows = self.decoders[layer].flatten(1)
            y_hat[:, begin:] += functional.embedding_bag(
                firings.features[own] - layer * self.per_layer,
                rows,
                torch.searchsorted(firings.rows[own], places),
                mode="sum",
                per_sample_weights=firings.values[own].to(rows.dtype),
            )
        return y_hat

    @property
    @override
    def decoder_rows(self) -> Tensor:
        """d_f for each feature, [d_sae, d_out], zero where it does not write."""
        rows = self.b_dec.new_zeros(self.d_sae, self.d_out)
        for layer, begin in enumerate(self._begins()):
            rows[self.features_of(layer), begin:] = self.decoders[layer].flatten(1)
        return rows

    @override
    def decoder_row(self, feature: int) -> Tensor:
        return self.rows_of(torch.tensor([feature], device=self.b_dec.device))[0]

    @override
    def rows_of(self, features: Tensor) -> Tensor:
        rows = self.b_dec.new_zeros(len(features), self.d_out)
        blocks = features // self.per_layer
        for layer, begin in enumerate(self._begins()):
            own = blocks == layer
            inside = features[own] - layer * self.per_layer
            rows[own, begin:] = self.decoders[layer][inside].flatten(1)
        return rows

    @override
    def along_rows(self, vectors: Tensor) -> Tensor:
        parts = [
            vectors[..., begin:] @ self.decoders[layer].flatten(1).T
            for layer, begin in enumerate(self._begins())
        ]
        return torch.cat(parts, dim=-1)

    def _by_block(self, x: Tensor) -> Tensor:
        """What all blocks have side by side [..., layers * n], as [..., layers, n]."""
        return x.reshape(*x.shape[:-1], self.layers, -1)

    def _begins(self) -> range:
        """Where in y_hat each block's features begin to write."""
        return range(0, self.d_out, self.d_out // self.layers)
