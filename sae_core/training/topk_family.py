"""What TopK, BatchTopK and Matryoshka share: a choice of entries, nested losses, AuxK."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.dictionary import Output
from sae_core.errors import TrainingError
from sae_core.training.config import TrainingConfig
from sae_core.training.method import Method, Redirect, StepResult
from sae_core.training.sparse.sparse import ByFeature, Codes, along, decode

AUX_WEIGHT = 1 / 32


class TopKFamily(Method):
    """A choice of the largest pre-activations, and the loss over J nested prefixes:

        L = 1/J sum_j E ||y - y_hat_j||^2 + 1/32 E ||e - e_hat||^2,
        y_hat_j = sum_{f < borders[j]} f W_dec_f + b_dec,   e = y - y_hat_J (held fixed).

    e_hat is the reconstruction of e from dead features alone, the d_out / 2 largest of them (AuxK,
    Gao et al. 2024); there is no such term while none is dead.

    Attributes:
        borders: lengths of the prefixes, rising to d_sae.
    """

    def __init__(
        self,
        config: TrainingConfig,
        d_in: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        output: Output | None = None,
    ) -> None:
        super().__init__(config, d_in, device, dtype, output)
        self.k: float = config.l0 or 1.0  # there is one: see check()
        self.borders = self.prefixes()

    @override
    @classmethod
    def check(cls, config: TrainingConfig) -> None:
        if config.l0 is None:
            raise TrainingError(
                f"{config.architecture} has no penalty: give the L0, which is its k."
            )

    def prefixes(self) -> tuple[int, ...]:
        """Lengths of the nested prefixes; one, of all features, where nothing is nested."""
        return (self.d_sae,)

    @abstractmethod
    def choose(self, pre: Tensor) -> Codes:
        """The entries of pre-activations [n, d_sae] that stay, with values of at least 0."""

    @abstractmethod
    def activate(self, pre: Tensor) -> Tensor:
        """The activations that `choose` keeps, dense and differentiable, [n, d_sae]."""

    @override
    def activations(self, x: Tensor) -> Tensor:
        p = self.parameters
        return self.activate(self.dense_ends(p, x)[0] @ p["W_enc"].T + p["b_enc"])

    @override
    def loss(self, x: Tensor, weight: float) -> Tensor:
        p, (_, y) = self.parameters, self.ends(x)
        u, silent = self.dense_ends(p, x)
        pre = u @ p["W_enc"].T + p["b_enc"]
        acts = self.activate(pre)
        error, total = y, y.new_zeros(())
        for border in self.borders:
            error = y - acts[:, :border] @ p["W_dec"][:border] - silent
            total = total + error.pow(2).sum(dim=-1).mean() / len(self.borders)
        dead = self.dead.nonzero()[:, 0]
        if len(dead) == 0:
            return total
        e_hat = self._auxiliary(pre[:, dead]) @ p["W_dec"][dead]
        return total + AUX_WEIGHT * (error.detach() - e_hat).pow(2).sum(dim=-1).mean()

    def _auxiliary(self, pre: Tensor) -> Tensor:
        """Activations of dead features given their pre-activations, [n, n_dead] each."""
        k = min(max(1, self.d_out // (2 * self.layers)), pre.shape[-1])
        if k == pre.shape[-1]:
            return torch.relu(pre)
        top = pre.topk(k, dim=-1, sorted=False)
        return torch.zeros_like(pre).scatter(-1, top.indices, torch.relu(top.values))

    @override
    @torch.no_grad()
    def step(self, x: Tensor, weight: float, redirect: Redirect | None = None) -> StepResult:
        p, n, nested = self.parameters, len(x), len(self.borders)
        # Forward: y_hat of every prefix, from the sums of what lies between two borders.
        u, wanted = self.centred(x)
        pre = self.pre_activations(u)
        codes = self.choose(pre)
        y_hat = decode(codes, p["W_dec"]).view(n, nested, self.d_out)
        for j in range(1, nested):
            y_hat[:, j] += y_hat[:, j - 1]
        residual = y_hat.sub_(wanted[:, None])
        squares = torch.linalg.vector_norm(residual, dim=(0, 2)).pow(2) / n
        error = residual[:, -1].clone()
        # Backward to the reconstructions: dL/dy_hat of each prefix, then of what each adds.
        gradient = residual.mul_(2 / (n * nested))
        if redirect is not None:
            gradient[:, -1] = redirect(error + self.ends(x)[1], gradient[:, -1].contiguous())
        through = gradient[:, 0].sum(dim=0) if nested == 1 else gradient.sum(dim=(0, 1))
        for j in reversed(range(1, nested)):  # a feature is in its own prefix and all longer ones
            gradient[:, j - 1] += gradient[:, j]
        bags = gradient.view(n * nested, self.d_out)

        # Backward to the parameters, at the entries that fire alone.
        entries = along(codes, bags, p["W_dec"]).mul_(codes.values > 0)
        features = ByFeature(codes, self.d_sae)
        gradients = {
            "W_enc": features.sums_of_rows(entries, u),
            "b_enc": features.sums(entries),
            "W_dec": features.sums_of_bags(codes.values, bags),
            "b_dec": through,
        }
        # AuxK for dead features; b_dec may be reached through the encoder's input as well.
        loss = squares.mean()
        dead = self.dead.nonzero()[:, 0]
        if len(dead):
            loss = loss + self._revive(u, pre, -error, dead, gradients)
        self.through_ends(gradients, u, gradient[:, 0])
        active = codes.values > 0
        fired = torch.zeros(self.d_sae, dtype=torch.bool, device=x.device)
        fired[codes.features[active]] = True
        return StepResult(gradients, loss, squares[-1], active.sum() / n, fired)

    def _revive(
        self, u: Tensor, pre: Tensor, e: Tensor, dead: Tensor, gradients: dict[str, Tensor]
    ) -> Tensor:
        """The AuxK loss for the error e [n, d_out]; adds its gradients to those of the weights and
        of b_enc, through which `step` derives that of b_dec."""
        rows = self.parameters["W_dec"][dead]
        acts = self._auxiliary(pre[:, dead])
        error = self.dense(acts, rows).sub_(e)
        gradient = error * (2 * AUX_WEIGHT / len(u))
        entries = self.dense(gradient, rows.T).mul_(acts > 0)
        gradients["W_dec"][dead] += self.dense(acts.T, gradient)
        gradients["W_enc"][dead] += self.dense(entries.T, u)
        gradients["b_enc"][dead] += entries.sum(dim=0)
        loss: Tensor = torch.linalg.vector_norm(error).pow(2) * (AUX_WEIGHT / len(u))
        return loss
