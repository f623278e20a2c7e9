"""The standard sparse autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from sae_core.dictionaries.dictionary import Dictionary, Encoder, Output


class StandardDictionary(Dictionary):
    """ReLU: f = relu((x - b_dec) W_enc + b_enc).

    Source: Bricken et al. 2023, "Towards Monosemanticity". The subtraction of b_dec depends on
    `apply_b_dec_to_input`.
    """

    architecture = "standard"
    transcoder_architecture = "transcoder"

    def __init__(
        self,
        hook_point: str,
        d_in: int,
        d_sae: int,
        apply_b_dec_to_input: bool = True,
        output: Output | None = None,
    ) -> None:
        super().__init__(hook_point, d_in, d_sae, apply_b_dec_to_input, output)
        self._allocate()

    @override
    def encoder_of(self, features: Sequence[int]) -> Encoder:
        columns, biases = self.W_enc[:, features], self.b_enc[features]
        return lambda x: torch.relu(self.encoder_input(x) @ columns + biases)
