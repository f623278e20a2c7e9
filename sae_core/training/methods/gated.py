"""Gated: which features fire is learned apart from how strongly."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.architectures.gated import GatedDictionary
from sae_core.training.method import Redirect, StepResult
from sae_core.training.penalised import Outcome, Resampled, Screened
from sae_core.training.sparse.sparse import along


class Gated(Resampled):
    """With u = x - b_dec, g = u W_enc + b_gate, m = u (W_enc * exp(r_mag)) + b_mag and
    f = 1[g > 0] * relu(m), the loss is

        L = E [ ||x - x_hat||^2 + weight * sum_f relu(g_f) + ||x - x_hat_gate||^2 ],

    where x_hat_gate = relu(g) W_dec + b_dec through a decoder that is held fixed.

    Source: Rajamanoharan et al. 2024, "Improving Dictionary Learning with Gated Sparse
    Autoencoders". Decoder rows have unit norm, so that the L1 norm is the one weighted by norms.
    """

    architecture = "gated"
    transcodes = False
    bias = "b_gate"

    @override
    def initial(self, rows: Tensor) -> dict[str, Tensor]:
        zeros = rows.new_zeros(self.d_sae)
        return {
            "W_enc": rows.clone(),
            "b_gate": zeros.clone(),
            "b_mag": zeros.clone(),
            "r_mag": zeros,
            "W_dec": rows,
            "b_dec": rows.new_zeros(self.d_in),
        }

    @override
    def set_firing_bar(self, features: Tensor, bar: Tensor) -> None:
        super().set_firing_bar(features, bar)
        self.parameters["b_mag"][features] = -bar

    @override
    def outcome(self, parameters: dict[str, Tensor], x: Tensor, weight: float) -> Outcome:
        p = parameters
        projected = (x - p["b_dec"]) @ p["W_enc"].T
        gate = torch.relu(projected + p["b_gate"])
        acts = (gate > 0) * torch.relu(projected * p["r_mag"].exp() + p["b_mag"])
        x_hat_gate = gate @ p["W_dec"].detach() + p["b_dec"].detach()
        auxiliary = (x - x_hat_gate).pow(2).sum(dim=-1).mean()
        penalty = weight * gate.sum(dim=-1).mean() + auxiliary
        return Outcome(acts, acts @ p["W_dec"] + p["b_dec"], penalty)

    @override
    def first_weight(self, variance: float) -> float:
        return 0.3 * math.sqrt(variance)

    @override
    def screen_bias(self) -> Tensor:
        return self.parameters["b_gate"]

    @override
    def sparse_step(self, batch: Screened, weight: float, redirect: Redirect | None) -> StepResult:
        p, n, codes = self.parameters, len(batch.x), batch.codes
        # Forward: gates, and the magnitudes of the features whose gate is open.
        stretch = p["r_mag"].exp()[codes.features]
        gate = torch.relu(codes.values + p["b_gate"][codes.features])
        acts = torch.relu(codes.values * stretch + p["b_mag"][codes.features]).mul_(gate > 0)
        active = acts > 0
        reconstruction = self.reconstruct(batch, acts, redirect)
        by_gate = self.reconstruct(batch, gate, None)
        # Backward to each entry: along the magnitudes, and along the gates by the auxiliary error.
        magnitudes = along(codes, reconstruction.gradient, p["W_dec"]).mul_(active)
        gates = along(codes, by_gate.gradient, p["W_dec"]).add_(weight / n).mul_(gate > 0)
        slopes = magnitudes * stretch + gates
        by_feature = batch.features
        gradients = {
            "W_enc": by_feature.sums_of_rows(slopes, batch.u),
            "b_gate": by_feature.sums(gates),
            "b_mag": by_feature.sums(magnitudes),
            "r_mag": by_feature.sums(magnitudes * stretch * codes.values),
            "W_dec": by_feature.sums_of_rows(acts, reconstruction.gradient),
            "b_dec": reconstruction.gradient.sum(dim=0) - by_feature.sums(slopes) @ p["W_enc"],
        }
        loss = reconstruction.error + by_gate.error + gate.sum() * (weight / n)
        return StepResult(
            gradients, loss, reconstruction.error, active.sum() / n, self.fired(codes, active)
        )

    @override
    def finished(self, hook_point: str, scale: float, shift: Tensor) -> GatedDictionary:
        p = self.parameters
        dictionary = GatedDictionary(hook_point, self.d_in, self.d_sae)
        dictionary.to(p["W_dec"].device, p["W_dec"].dtype)
        with torch.no_grad():
            dictionary.W_enc.copy_(p["W_enc"].T)
            dictionary.b_gate.copy_(p["b_gate"] / scale)
            dictionary.b_mag.copy_(p["b_mag"] / scale)
            dictionary.r_mag.copy_(p["r_mag"])
            dictionary.W_dec.copy_(p["W_dec"])
            dictionary.b_dec.copy_(p["b_dec"] / scale + shift)
        return dictionary.requires_grad_(False).eval()
