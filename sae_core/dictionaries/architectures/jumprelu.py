"""JumpReLU, each feature with a threshold of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from sae_core.dictionaries.dictionary import Dictionary, Encoder, Output


class JumpReLUDictionary(Dictionary):
    """JumpReLU: f = z * 1[z > threshold], z = relu(x W_enc + b_enc).

    Source: Rajamanoharan et al. 2024. BatchTopK dictionaries are kept in this form, with the
    threshold they learned.
    """

    architecture = "jumprelu"
    transcoder_architecture = "jumprelu_transcoder"

    def __init__(
        self,
        hook_point: str,
        d_in: int,
        d_sae: int,
        apply_b_dec_to_input: bool = False,
        output: Output | None = None,
    ) -> None:
        super().__init__(hook_point, d_in, d_sae, apply_b_dec_to_input, output)
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

    @override
    def encoder_of(self, features: Sequence[int]) -> Encoder:
        columns, biases = self.W_enc[:, features], self.b_enc[features]
        thresholds = self.threshold[features]

        def encode(x: Tensor) -> Tensor:
            relu = torch.relu(self.encoder_input(x) @ columns + biases)
            return relu * (relu > thresholds)

        return encode
