"""ReLU with an L1 penalty weighted by the decoder's norms."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.training.method import Redirect, StepResult
from sae_core.training.penalised import Outcome, Resampled, Screened
from sae_core.training.sparse.sparse import along


class Standard(Resampled):
    """L = E [ ||y - y_hat||^2 + weight * sum_f f ||W_dec_f|| ], f = relu(u W_enc + b_enc).

    Source: Anthropic's April 2024 update ("Update on how we train SAEs"): decoder rows are not held
    at unit norm, for the penalty follows their length; the finished dictionary has unit rows.
    """

    architecture = "standard"

    @override
    def outcome(self, parameters: dict[str, Tensor], x: Tensor, weight: float) -> Outcome:
        p = parameters
        u, silent = self.dense_ends(p, x)
        acts = torch.relu(u @ p["W_enc"].T + p["b_enc"])
        penalty = weight * (acts @ p["W_dec"].norm(dim=-1)).mean()
        return Outcome(acts, acts @ p["W_dec"] + silent, penalty)

    @override
    def first_weight(self, variance: float) -> float:
        return 0.2 * math.sqrt(variance)

    @override
    def screen_bias(self) -> Tensor:
        return self.parameters["b_enc"]

    @override
    def sparse_step(self, batch: Screened, weight: float, redirect: Redirect | None) -> StepResult:
        p, n, codes = self.parameters, len(batch.x), batch.codes
        acts = torch.relu(codes.values + p["b_enc"][codes.features])
        active = acts > 0
        reconstruction = self.reconstruct(batch, acts, redirect)
        # dL/df at each entry: from the reconstruction, and from the penalty on f ||W_dec_f||.
        norms = p["W_dec"].norm(dim=-1)
        slopes = along(codes, reconstruction.gradient, p["W_dec"]).add_(
            norms[codes.features] * (weight / n)
        )
        slopes *= active
        by_feature = batch.features
        # The penalty also pulls at the decoder rows' lengths.
        total = by_feature.sums(acts)
        lengths = total * (weight / n) / norms.clamp_min(1e-12)
        gradients = {
            "W_enc": by_feature.sums_of_rows(slopes, batch.u),
            "b_enc": by_feature.sums(slopes),
            "W_dec": by_feature.sums_of_rows(acts, reconstruction.gradient).addcmul_(
                lengths[:, None], p["W_dec"]
            ),
            "b_dec": reconstruction.gradient.sum(dim=0),
        }
        self.through_ends(gradients, batch.u, reconstruction.gradient)
        loss = reconstruction.error + (total @ norms) * (weight / n)
        return StepResult(
            gradients, loss, reconstruction.error, active.sum() / n, self.fired(codes, active)
        )

    @override
    def constrain_gradients(self, gradients: dict[str, Tensor]) -> None:
        """Decoder rows may change their length."""

    @override
    def constrain(self) -> None:
        """Decoder rows may have any length."""

    @override
    def finished(self, hook_point: str, scale: float, shift: Tensor) -> StandardDictionary:
        p = self.parameters
        norms = p["W_dec"].norm(dim=-1).clamp_min(1e-12)
        dictionary = StandardDictionary(
            hook_point, self.d_in, self.d_sae, self.output is None, self.output
        )
        dictionary.to(p["W_dec"].device, p["W_dec"].dtype)
        with torch.no_grad():
            dictionary.W_enc.copy_((p["W_enc"] * norms[:, None]).T)
            dictionary.b_enc.copy_(p["b_enc"] * norms / scale)
            dictionary.W_dec.copy_(p["W_dec"] / norms[:, None])
            dictionary.b_dec.copy_(p["b_dec"] / scale + shift)
        return dictionary.requires_grad_(False).eval()
