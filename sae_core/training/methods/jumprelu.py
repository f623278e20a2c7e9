"""JumpReLU: a learned threshold a feature, and a penalty on L0 itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.training.method import Redirect, StepResult
from sae_core.training.penalised import Outcome, Penalised, Screened
from sae_core.training.sparse.sparse import along

BANDWIDTH = 0.2  # of the straight-through kernel, relative to a coordinate's standard deviation
SPEED = 10.0  # of the thresholds' logarithms, relative to other parameters
REVIVAL = 3e-6  # weight of the loss that lifts dead features


class JumpReLU(Penalised):
    """With z = u W_enc + b_enc, f = z * 1[z > theta] and theta = exp(10 t) the loss is

        L = E [ ||y - y_hat||^2 + weight * sum_f 1[z_f > theta_f] ].

    The steps have no slope, so the thresholds' gradients are straight-through estimates, with the
    kernel K(v) = 1[|v| < 1/2] over z > 0 and the bandwidth e:

        df/dtheta = -theta / e * K((z - theta) / e),   d1/dtheta = -1 / e * K((z - theta) / e).

    All other parameters learn from the reconstruction alone.

    Source: Rajamanoharan et al. 2024, "Jumping Ahead". Differently from there the logarithm of a
    threshold moves ten times as far a step as other parameters: Adam moves each by about the
    learning rate, too little for thresholds to find their places within some thousand steps. The
    penalty is linear in L0 and its weight steered, where Gemma Scope 2's quadratic one would stay
    off its target by as much as it takes to push.

    Dead features are lifted by the pre-activation loss of Anthropic's January 2025 update,
    3e-6 * E sum_{f dead} relu(theta_f - z_f) at unit decoder rows: resampling would have to guess
    thresholds.
    """

    architecture = "jumprelu"

    @override
    def initial(self, rows: Tensor) -> dict[str, Tensor]:
        return super().initial(rows) | {"log_threshold": rows.new_zeros(self.d_sae)}

    @override
    def initial_state(self, rows: Tensor) -> dict[str, Tensor]:
        return super().initial_state(rows) | {"bandwidth": rows.new_tensor(BANDWIDTH)}

    @override
    def calibrate(self, x: Tensor) -> None:
        y = self.ends(x)[1]
        self.state["bandwidth"].fill_(BANDWIDTH * float((y - y.mean(dim=0)).pow(2).mean().sqrt()))
        super().calibrate(x)

    @override
    def set_firing_bar(self, features: Tensor, bar: Tensor) -> None:
        """The thresholds are the bars; where a bar is too low for one, the bias makes up for it."""
        lowest = float(self.state["bandwidth"])
        thresholds = bar.clamp_min(lowest)
        self.parameters["log_threshold"][features] = thresholds.log() / SPEED
        self.parameters["b_enc"][features] = thresholds - bar

    def thresholds(self, parameters: dict[str, Tensor]) -> Tensor:
        """Theta, [d_sae], training units."""
        return (SPEED * parameters["log_threshold"]).exp()

    @override
    def outcome(self, parameters: dict[str, Tensor], x: Tensor, weight: float) -> Outcome:
        p, theta, bandwidth = parameters, self.thresholds(parameters), self.state["bandwidth"]
        u, silent = self.dense_ends(p, x)
        pre = u @ p["W_enc"].T + p["b_enc"]
        acts = _Jump.apply(pre, theta, bandwidth)  # type: ignore[no-untyped-call]
        active = _Step.apply(pre, theta, bandwidth)  # type: ignore[no-untyped-call]
        penalty = weight * active.sum(dim=-1).mean()
        short = torch.relu(theta - pre)[:, self.dead]
        penalty = penalty + REVIVAL * short.sum(dim=-1).mean()
        return Outcome(acts, acts @ p["W_dec"] + silent, penalty)

    @override
    def first_weight(self, variance: float) -> float:
        """Mean theta^2: what a unit decoder row that fires at its threshold takes off the loss."""
        return float(self.thresholds(self.parameters).pow(2).mean())

    @override
    def screen_bias(self) -> Tensor:
        reach = self.thresholds(self.parameters) - self.state["bandwidth"] / 2
        return self.parameters["b_enc"] - reach.clamp_min_(0.0)

    @override
    def sparse_step(self, batch: Screened, weight: float, redirect: Redirect | None) -> StepResult:
        p, n, codes = self.parameters, len(batch.x), batch.codes
        bandwidth, theta = self.state["bandwidth"], self.thresholds(p)
        # Forward, at entries above or just below their thresholds.
        pre = codes.values + p["b_enc"][codes.features]
        above = pre - theta[codes.features]
        active = above > 0
        acts = pre * active
        reconstruction = self.reconstruct(batch, acts, redirect)
        slopes = along(codes, reconstruction.gradient, p["W_dec"])
        # Straight-through: only entries near their threshold pull at it.
        kernel = ((above.abs() < bandwidth / 2) & (pre > 0)) / bandwidth
        pulls = (slopes * theta[codes.features] + weight / n) * kernel
        slopes *= active
        by_feature = batch.features
        gradients = {
            "W_enc": by_feature.sums_of_rows(slopes, batch.u),
            "b_enc": by_feature.sums(slopes),
            "W_dec": by_feature.sums_of_rows(acts, reconstruction.gradient),
            "b_dec": reconstruction.gradient.sum(dim=0),
            "log_threshold": by_feature.sums(pulls).mul_(-SPEED * theta),
        }
        l0 = active.sum().to(acts.dtype) / n
        loss = reconstruction.error + weight * l0
        dead = self.dead.nonzero()[:, 0]
        if len(dead):
            loss = loss + self._lift(batch.u, dead, theta[dead], gradients)
        self.through_ends(gradients, batch.u, reconstruction.gradient)
        return StepResult(gradients, loss, reconstruction.error, l0, self.fired(codes, active))

    def _lift(self, u: Tensor, dead: Tensor, theta: Tensor, gradients: dict[str, Tensor]) -> Tensor:
        """The loss that lifts dead features; adds its gradients to those of W_enc, b_enc and the
        thresholds, from which `sparse_step` derives that of b_dec."""
        p = self.parameters
        short = torch.relu(theta - u @ p["W_enc"][dead].T - p["b_enc"][dead])
        slopes = (short > 0).to(u.dtype) * (REVIVAL / len(u))
        total = slopes.sum(dim=0)
        gradients["W_enc"][dead] -= slopes.T @ u
        gradients["b_enc"][dead] -= total
        gradients["log_threshold"][dead] += SPEED * theta * total
        return REVIVAL * short.sum() / len(u)

    @override
    def finished(self, hook_point: str, scale: float, shift: Tensor) -> JumpReLUDictionary:
        p = self.parameters
        dictionary = JumpReLUDictionary(
            hook_point, self.d_in, self.d_sae, self.output is None, self.output
        )
        dictionary.to(p["W_dec"].device, p["W_dec"].dtype)
        with torch.no_grad():
            dictionary.W_enc.copy_(p["W_enc"].T)
            dictionary.b_enc.copy_(p["b_enc"] / scale)
            dictionary.threshold.copy_(self.thresholds(p) / scale)
            dictionary.W_dec.copy_(p["W_dec"])
            dictionary.b_dec.copy_(p["b_dec"] / scale + shift)
        return dictionary.requires_grad_(False).eval()


def _kernel(pre: Tensor, theta: Tensor, bandwidth: Tensor) -> Tensor:
    """K((z - theta) / e) / e over z > 0, [n, d_sae]."""
    return (((pre - theta).abs() < bandwidth / 2) & (pre > 0)) / bandwidth


class _Jump(torch.autograd.Function):
    """z * 1[z > theta], with the straight-through slope wrt theta."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, theta: Tensor, bandwidth: Tensor) -> Tensor:
        ctx.save_for_backward(pre, theta, bandwidth)
        return pre * (pre > theta)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, theta, bandwidth = ctx.saved_tensors
        slope = gradients[0]
        pull = slope * theta * _kernel(pre, theta, bandwidth)
        return slope * (pre > theta), -pull.sum(dim=0), None


class _Step(torch.autograd.Function):
    """1[z > theta], with the straight-through slope wrt theta and none wrt z."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, theta: Tensor, bandwidth: Tensor) -> Tensor:
        ctx.save_for_backward(pre, theta, bandwidth)
        return (pre > theta).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        return None, -(gradients[0] * _kernel(*ctx.saved_tensors)).sum(dim=0), None
