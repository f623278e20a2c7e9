"""BatchTopK: the k largest activations a token, on average over a batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.training.sparse.selection import largest_of_batch
from sae_core.training.sparse.sparse import Codes, codes_of_entries
from sae_core.training.topk_family import TopKFamily

_FORGET = 0.01


class BatchTopK(TopKFamily):
    """L = E ||y - y_hat||^2 + AuxK, f = the n * k largest of relu(u W_enc + b_enc).

    The choice is made over a whole batch of n tokens. The least activation that stays, averaged
    over batches (rate 0.01), is the threshold of the finished dictionary, a JumpReLU; after a short
    training, which that average lags behind, its mean over the last batches.

    Source: Bussmann et al. 2024, "BatchTopK Sparse Autoencoders".
    """

    architecture = "batchtopk"

    @override
    def initial_state(self, rows: Tensor) -> dict[str, Tensor]:
        threshold = torch.zeros((), dtype=torch.float64, device=rows.device)
        return super().initial_state(rows) | {"threshold": threshold}

    @override
    def choose(self, pre: Tensor) -> Codes:
        # The running threshold says what the least activation may be, so that fewer are looked at.
        threshold = self.state["threshold"]
        chosen = largest_of_batch(pre, self._count(len(pre)), 0.95 * threshold)
        if len(chosen.values):
            least = chosen.values.amin().double()
            threshold += torch.where(threshold > 0, _FORGET, 1.0) * (least - threshold)
        values = chosen.values.to(self.parameters["b_enc"].dtype)
        return codes_of_entries(chosen.rows, chosen.features, values, len(pre))

    @override
    @torch.no_grad()
    def settle(self, batches: Iterator[Tensor]) -> None:
        """The mean of what the least kept activation is now, without the average's memory."""
        least = []
        for x in batches:
            pre = self.pre_activations(self.centred(x)[0])
            chosen = largest_of_batch(pre, self._count(len(pre)), pre.new_zeros(()))
            least += [chosen.values.amin().double()] if len(chosen.values) else []
        if least:
            self.state["threshold"].copy_(torch.stack(least).mean())

    @override
    def activate(self, pre: Tensor) -> Tensor:
        acts = torch.relu(pre)
        least = acts.flatten().topk(self._count(len(pre)), sorted=False).values.amin()
        return acts * (acts >= least)

    def _count(self, n: int) -> int:
        """How many of n tokens' activations stay."""
        return max(1, round(self.k * self.layers * n))

    @override
    def finished(self, hook_point: str, scale: float, shift: Tensor) -> Dictionary:
        dictionary = JumpReLUDictionary(
            hook_point, self.d_in, self.d_sae, self.output is None, self.output
        )
        self.fold_into(dictionary, scale, shift)
        with torch.no_grad():
            dictionary.threshold.fill_(float(self.state["threshold"]) / scale)
        return dictionary
