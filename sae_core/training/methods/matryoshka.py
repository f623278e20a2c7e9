"""Matryoshka BatchTopK: every prefix of the features is a dictionary of its own."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from sae_core.training.methods.batchtopk import BatchTopK
from sae_core.training.sparse.sparse import Codes, nested


class Matryoshka(BatchTopK):
    """L = 1/J sum_j E ||y - y_hat_j||^2 + AuxK, with y_hat_j from the first borders[j] features.

    Features are chosen as by BatchTopK, over all prefixes together. The borders are d_sae / 16,
    / 8, / 4, / 2 and d_sae, as far as they are whole features.

    Source: Bussmann et al. 2025, "Learning Multi-Level Features with Matryoshka Sparse
    Autoencoders".
    """

    architecture = "matryoshka"

    @override
    def prefixes(self) -> tuple[int, ...]:
        shares = [self.d_sae // part for part in (16, 8, 4, 2, 1)]
        return tuple(sorted({border for border in shares if border}))

    @override
    def choose(self, pre: Tensor) -> Codes:
        codes = super().choose(pre)
        return nested(codes, self.borders, len(pre))
