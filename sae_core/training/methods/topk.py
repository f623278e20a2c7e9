"""TopK: the k largest features of each token."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.errors import TrainingError
from sae_core.training.config import TrainingConfig
from sae_core.training.sparse.selection import largest
from sae_core.training.sparse.sparse import Codes, codes_of_top
from sae_core.training.topk_family import TopKFamily


class TopK(TopKFamily):
    """L = E ||y - y_hat||^2 + AuxK, f = relu(top_k(u W_enc + b_enc)).

    Source: Gao et al. 2024, "Scaling and evaluating sparse autoencoders".
    """

    architecture = "topk"

    @override
    @classmethod
    def check(cls, config: TrainingConfig) -> None:
        super().check(config)
        if config.l0 is not None and config.l0 != int(config.l0):
            raise TrainingError(f"TopK's k is a whole number, not {config.l0:g}: give one.")

    @override
    def choose(self, pre: Tensor) -> Codes:
        values, features = largest(pre, int(self.k))
        return codes_of_top(values.to(self.parameters["W_dec"].dtype), features)

    @override
    def activate(self, pre: Tensor) -> Tensor:
        top = pre.topk(int(self.k), dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter(-1, top.indices, torch.relu(top.values))

    @override
    def finished(self, hook_point: str, scale: float, shift: Tensor) -> TopKDictionary:
        dictionary = TopKDictionary(
            hook_point, self.d_in, self.d_sae, int(self.k), self.output is None, output=self.output
        )
        self.fold_into(dictionary, scale, shift)
        return dictionary
