"""What methods with a sparsity penalty share: its weight, screening, and the dense fallback."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize
from typing_extensions import override

from sae_core.dictionaries.dictionary import Output
from sae_core.training.config import TrainingConfig
from sae_core.training.method import Method, Redirect, StepResult
from sae_core.training.optimizer import Adam
from sae_core.training.penalty import PenaltyWeight
from sae_core.training.resampling import ENCODER_NORM, poorly_explained, resampling_due
from sae_core.training.sparse.positive import positive_entries
from sae_core.training.sparse.sparse import ByFeature, Codes, along, codes_of_entries, decode

DENSE_SHARE = 0.25  # of entries that matter, above which dense products are faster
START_L0 = 32  # of a training whose penalty is fixed


@dataclass(frozen=True)
class Outcome:
    """One batch through the dictionary, densely.

    Attributes:
        acts: activations, [n, d_sae].
        y_hat: reconstructions, [n, d_out].
        penalty: all of the loss but E ||y - y_hat||^2, 0-d.
    """

    acts: Tensor
    y_hat: Tensor
    penalty: Tensor


@dataclass(frozen=True)
class Screened:
    """The entries of a batch that may matter to the loss.

    Attributes:
        x: the batch's rows, [n, width], training units.
        u: what the encoder is given, [n, d_in].
        wanted: what features are to reconstruct, [n, d_out].
        codes: the entries; their values are u . W_enc, without a bias, in the parameters' dtype.
        features: the same entries by feature.
    """

    x: Tensor
    u: Tensor
    wanted: Tensor
    codes: Codes
    features: ByFeature


@dataclass(frozen=True)
class Reconstruction:
    """How well activations reconstruct a batch.

    Attributes:
        error: mean over tokens of ||y - y_hat||^2, 0-d.
        gradient: dL/dy_hat, [n, d_out].
    """

    error: Tensor
    gradient: Tensor


class Penalised(Method):
    """E ||y - y_hat||^2 and a penalty, whose weight is fixed or steered to an L0.

    A step encodes in bfloat16 to find the entries that matter, computes those again in the
    parameters' own precision, and does the rest at them alone; where they are too many it takes
    the dense way through autograd instead. The screen is wider by the bfloat16 rounding, so that
    the result is that of a dense float32 step.

    Biases start so that every feature fires on `l0` / d_sae of a first batch, as in Anthropic's
    January 2025 update: no step begins densely, and none begins dead.
    """

    bias: str = "b_enc"

    def __init__(
        self,
        config: TrainingConfig,
        d_in: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        output: Output | None = None,
    ) -> None:
        super().__init__(config, d_in, device, dtype, output)
        self._weight = PenaltyWeight(config)
        self.state["steering"] = self._weight.state

    @abstractmethod
    def outcome(self, parameters: dict[str, Tensor], x: Tensor, weight: float) -> Outcome:
        """Rows [n, width] through these parameters, differentiable: the definition of the loss."""

    @abstractmethod
    def screen_bias(self) -> Tensor:
        """A bias [d_sae] that makes pre-activations positive at every entry that matters."""

    @abstractmethod
    def sparse_step(self, batch: Screened, weight: float, redirect: Redirect | None) -> StepResult:
        """As `step`, computed at the screened entries of a batch alone."""

    @abstractmethod
    def first_weight(self, variance: float) -> float:
        """The value a steered weight starts at, given E ||y - mean||^2 in training units."""

    @override
    def weight_at(self, step: int) -> float:
        return self._weight.at(step)

    @override
    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        y = self.ends(x)[1]
        variance = float((y - y.mean(dim=0)).pow(2).sum(dim=-1).mean())
        every = torch.arange(self.d_sae, device=x.device)
        self.set_firing_bar(every, self.firing_bar(x, every))
        self._weight.begin(self.first_weight(max(variance, 1e-12)))

    def firing_bar(self, x: Tensor, features: Tensor) -> Tensor:
        """What u . W_enc of some features exceeds on l0 / d_sae of the rows x, [features]."""
        projected = self.centred(x)[0] @ self.parameters["W_enc"][features].T
        l0 = START_L0 if self.config.l0 is None else self.config.l0
        n = max(1, min(len(x) - 1, round(len(x) * l0 / self.d_sae)))
        return projected.topk(min(n + 1, len(x)), dim=0).values[-2:].mean(dim=0)

    def set_firing_bar(self, features: Tensor, bar: Tensor) -> None:
        """Let some features fire where u . W_enc exceeds their bar [features]."""
        self.parameters[self.bias][features] = -bar

    @override
    def activations(self, x: Tensor) -> Tensor:
        return self.outcome(self.parameters, x, 0.0).acts

    @override
    def loss(self, x: Tensor, weight: float) -> Tensor:
        outcome = self.outcome(self.parameters, x, weight)
        return (outcome.y_hat - self.ends(x)[1]).pow(2).sum(dim=-1).mean() + outcome.penalty

    @override
    @torch.no_grad()
    def step(self, x: Tensor, weight: float, redirect: Redirect | None = None) -> StepResult:
        # Screen: which entries matter, by rounded pre-activations with a margin for the rounding.
        u, wanted = self.centred(x)
        bias = self.screen_bias()
        if self.rough:
            bias = bias + self._margin(u, bias)
        rows, features = positive_entries(self.pre_activations(u, bias))
        if len(rows) > DENSE_SHARE * len(x) * self.d_sae:
            return self._dense_step(x, weight, redirect)
        # Those alone again, in the parameters' own precision.
        codes = codes_of_entries(rows, features, u.new_zeros(len(rows)), len(x))
        codes = replace(codes, values=along(codes, u, self.parameters["W_enc"]))
        batch = Screened(x, u, wanted, codes, ByFeature(codes, self.d_sae))
        return self.sparse_step(batch, weight, redirect)

    def _margin(self, u: Tensor, bias: Tensor) -> Tensor:
        """What rounding to bfloat16 may take off a pre-activation, [d_sae].

        Half a unit of the bias' last place, and four standard deviations of what rounding both
        factors of the product to eight bits adds up to.
        """
        size = torch.linalg.vector_norm(u) / u.numel() ** 0.5
        lengths = torch.linalg.vector_norm(self.parameters["W_enc"], dim=-1)
        margin: Tensor = bias.abs() * 2**-8 + lengths * (size * 2**-7)
        return margin

    def reconstruct(
        self, batch: Screened, acts: Tensor, redirect: Redirect | None
    ) -> Reconstruction:
        """The error of what activations [nnz] at the entries of a batch reconstruct, and its
        gradient."""
        p = self.parameters
        residual = decode(replace(batch.codes, values=acts), p["W_dec"]).sub_(batch.wanted)
        error = torch.linalg.vector_norm(residual).pow(2) / len(batch.x)
        gradient = residual * (2 / len(batch.x))
        if redirect is not None:
            gradient = redirect(residual + self.ends(batch.x)[1], gradient)
        return Reconstruction(error, gradient)

    def _dense_step(self, x: Tensor, weight: float, redirect: Redirect | None) -> StepResult:
        """As `step`, through autograd over the dense definition of the loss."""
        leaves = {name: p.detach().requires_grad_() for name, p in self.parameters.items()}
        with torch.enable_grad():
            outcome = self.outcome(leaves, x, weight)
        residual = outcome.y_hat.detach() - self.ends(x)[1]
        error = residual.pow(2).sum(dim=-1).mean()
        gradient = residual * (2 / len(x))
        if redirect is not None:
            gradient = redirect(outcome.y_hat.detach(), gradient)
        gradients = torch.autograd.grad(
            [outcome.y_hat, outcome.penalty],
            list(leaves.values()),
            [gradient, torch.ones_like(outcome.penalty)],
            materialize_grads=True,
        )
        active = outcome.acts.detach() > 0
        return StepResult(
            dict(zip(leaves, gradients, strict=True)),
            error + outcome.penalty.detach(),
            error,
            active.sum() / len(x),
            active.any(dim=0),
        )

    def fired(self, codes: Codes, active: Tensor) -> Tensor:
        """Features with an active entry, bool [d_sae], given which entries are [nnz]."""
        fired = torch.zeros(self.d_sae, dtype=torch.bool, device=active.device)
        fired[codes.features[active]] = True
        return fired

    @override
    def after_step(self, step: int, x: Tensor, result: StepResult, optimizer: Adam) -> None:
        super().after_step(step, x, result, optimizer)
        self._weight.observe(step, float(result.l0))


class Resampled(Penalised):
    """A penalised method whose dead features begin again in the first half of the training.

    Source: Bricken et al. 2023. Differently from there a feature that begins again fires on as many
    tokens as at the start, instead of wherever its direction is positive.
    """

    @override
    @torch.no_grad()
    def after_step(self, step: int, x: Tensor, result: StepResult, optimizer: Adam) -> None:
        super().after_step(step, x, result, optimizer)
        config = self.config
        if not resampling_due(step, config.batch, config.dead_after, config.steps):
            return
        dead = self.dead.nonzero()[:, 0]
        if len(dead) == 0 or len(dead) == self.d_sae:
            return
        # Directions of what is reconstructed badly, as many as there are dead features.
        p = self.parameters
        errors = self.ends(x)[1] - self.outcome(p, x, 0.0).y_hat
        tokens = poorly_explained(errors, len(dead), config.seed, step)
        directions = normalize(errors[tokens], dim=-1)
        # A transcoder reads elsewhere: there it is the direction of what those tokens gave it.
        heard = directions if self.output is None else normalize(self.centred(x)[0][tokens], dim=-1)
        alive_norm = p["W_enc"][~self.dead].norm(dim=-1).mean()
        dead = dead[: len(directions)]
        # The features begin again with these directions and with fresh moments.
        for name, parameter in p.items():
            if name not in ("b_dec", "W_skip"):
                optimizer.forget(name, dead)
                parameter[dead] = 0
        p["W_dec"][dead] = directions
        p["W_enc"][dead] = heard * (ENCODER_NORM * alive_norm)
        self.set_firing_bar(dead, self.firing_bar(x, dead))
        self.state["silent"][dead] = 0
