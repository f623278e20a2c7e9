"""Gated: which features fire is decided apart from how strongly."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from sae_core.dictionaries.dictionary import Dictionary


class GatedDictionary(Dictionary):
    """Gated: f = 1[g > 0] * relu(m), with u = x - b_dec and tied encoders

        g = u W_enc + b_gate,    m = u (W_enc * exp(r_mag)) + b_mag.

    Source: Rajamanoharan et al. 2024, "Improving Dictionary Learning with Gated Sparse
    Autoencoders". The subtraction of b_dec depends on `apply_b_dec_to_input`. There is no b_enc.
    """

    architecture = "gated"

    def __init__(
        self, hook_point: str, d_in: int, d_sae: int, apply_b_dec_to_input: bool = True
    ) -> None:
        super().__init__(hook_point, d_in, d_sae, apply_b_dec_to_input)
        self.W_enc = nn.Parameter(torch.zeros(d_in, d_sae))
        self.b_gate = nn.Parameter(torch.zeros(d_sae))
        self.b_mag = nn.Parameter(torch.zeros(d_sae))
        self.r_mag = nn.Parameter(torch.zeros(d_sae))
        self.W_dec = nn.Parameter(torch.zeros(d_sae, d_in))
        self.b_dec = nn.Parameter(torch.zeros(d_in))

    @override
    def pre_activations(self, x: Tensor) -> Tensor:
        """Magnitudes m where the gate is open, and at most 0 where it is shut."""
        projected = self.encoder_input(x) @ self.W_enc
        return self.gated(projected, self.b_gate, self.r_mag, self.b_mag)

    @override
    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        projected = self.encoder_input(x) @ self.W_enc[:, feature]
        gate, scale, bias = self.b_gate[feature], self.r_mag[feature], self.b_mag[feature]
        return torch.relu(self.gated(projected, gate, scale, bias))

    @staticmethod
    def gated(projected: Tensor, gate: Tensor, r_mag: Tensor, b_mag: Tensor) -> Tensor:
        """Pre-activations from u W_enc and the biases that belong to its last dimension."""
        magnitude = projected * r_mag.exp() + b_mag
        return torch.where(projected + gate > 0, magnitude, magnitude.clamp_max(0.0))
