"""Matching pursuit: features are taken out of the activation one after the other."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.files.json_config import JsonConfig


class MatchingPursuitDictionary(Dictionary):
    """Matching pursuit: with r = x - b_dec and f = 0, again and again

        i = argmax_j <r, d_j>,    v = relu(<r, d_i>),    f_i += v,    r -= v d_i,

    until `max_iterations` (as many as d_in, where none is given), or no other feature than before
    came in, or ||r|| is below `residual_threshold`. The encoder is the decoder.

    Source: Costa et al. 2025, "From Flat to Hierarchical: Extracting Sparse Representations with
    Matching Pursuit"; the rules for when it ends are SAELens' (`_encode_matching_pursuit`). b_dec
    is taken off and added again, or neither (`apply_b_dec_to_input`).
    """

    architecture = "matching_pursuit"

    def __init__(
        self,
        hook_point: str,
        d_in: int,
        d_sae: int,
        apply_b_dec_to_input: bool = True,
        residual_threshold: float = 1e-2,
        max_iterations: int | None = None,
        stop_on_duplicate_support: bool = True,
    ) -> None:
        super().__init__(hook_point, d_in, d_sae, apply_b_dec_to_input)
        self.residual_threshold = residual_threshold
        self.max_iterations = max_iterations
        self.stop_on_duplicate_support = stop_on_duplicate_support
        self.W_dec = nn.Parameter(torch.zeros(d_sae, d_in))
        self.b_dec = nn.Parameter(torch.zeros(d_in))

    @override
    @classmethod
    def from_config(cls, hook_point: str, config: JsonConfig) -> Self:
        values = config.values
        return cls(
            hook_point,
            config.size("d_in"),
            config.size("d_sae"),
            config.flag("apply_b_dec_to_input", True),
            config.number("residual_threshold", 1e-2),
            config.size("max_iterations") if values.get("max_iterations") is not None else None,
            config.flag("stop_on_duplicate_support", True),
        )

    @override
    def own_config(self) -> dict[str, Any]:
        return {
            "residual_threshold": self.residual_threshold,
            "max_iterations": self.max_iterations,
            "stop_on_duplicate_support": self.stop_on_duplicate_support,
        }

    @override
    def pre_activations(self, x: Tensor) -> Tensor:
        """What the first choice is made by, [..., d_sae]; later ones depend on those before."""
        return self.encoder_input(x) @ self.W_dec.T

    @override
    def encode(self, x: Tensor) -> Tensor:
        left = self.encoder_input(x).reshape(-1, self.d_in).clone()
        acts = left.new_zeros(len(left), self.d_sae)
        rows = torch.arange(len(left), device=left.device)  # that are not done
        for _ in range(self.d_in if self.max_iterations is None else self.max_iterations):
            r = left[rows]
            best = (r @ self.W_dec.T).argmax(dim=-1)
            chosen = self.W_dec[best]
            values = torch.relu((r * chosen).sum(dim=-1))
            new = (acts[rows, best] == 0) & (values > 0)
            acts[rows, best] += values
            left[rows] = r = r - values[:, None] * chosen
            going = values > 0  # where it is 0, nothing changes any more
            if self.stop_on_duplicate_support:
                going = going & new
            if self.residual_threshold > 0:
                going = going & (r.norm(dim=-1) >= self.residual_threshold)
            rows = rows[going]
            if not len(rows):
                break
        return acts.view(*x.shape[:-1], self.d_sae)

    @override
    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        return self.encode(x)[..., feature]

    @override
    def offset(self, x: Tensor) -> Tensor:
        return self.b_dec if self.apply_b_dec_to_input else torch.zeros_like(self.b_dec)
