"""What all training methods share: parameters, the published loss, a sparse step, the result.

Inputs are in training units: x_train = (x_model - shift) * scale. While training W_enc is kept as
rows, [d_sae, d_in], so that gradients of both weights are sums of rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import TrainingError
from sae_core.training.config import TrainingConfig
from sae_core.training.optimizer import Adam

Redirect = Callable[[Tensor, Tensor], Tensor]
"""Takes x_hat and dL/dx_hat, [n, d_in] each in training units, and returns the dL/dx_hat to use."""


@dataclass(frozen=True)
class StepResult:
    """What one step computed, before any parameter is changed.

    Attributes:
        gradients: of the loss with respect to each parameter, by the parameter's name.
        loss: the loss of the batch, 0-d.
        error: mean over tokens of ||x - x_hat||^2, training units, 0-d.
        l0: mean number of active features on a token, 0-d.
        fired: features active on any token, bool [d_sae].
    """

    gradients: dict[str, Tensor]
    loss: Tensor
    error: Tensor
    l0: Tensor
    fired: Tensor


class Method(ABC):
    """One way to train a dictionary. Another is another module in `methods` with such a class.

    Attributes:
        architecture: what a configuration calls this method.
        rate: Adam's peak learning rate at 4,096 features; others by 1/sqrt(d_sae).
        parameters: what the optimizer moves, by name: W_enc [d_sae, d_in], b_enc [d_sae], W_dec
            [d_sae, d_in], b_dec [d_in], or what the architecture has.
        state: what else a checkpoint keeps, by name. `silent`, int64 [d_sae], is the number of
            tokens since each feature last fired.
        rough: whether pre-activations are computed in bfloat16.
    """

    architecture: ClassVar[str]
    rate: ClassVar[float] = 1.2e-3

    def __init__(
        self,
        config: TrainingConfig,
        d_in: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.check(config)
        self.config, self.d_in, self.d_sae = config, d_in, config.d_sae
        with _in_memory(config.d_sae, d_in):
            rows = unit_rows(config.d_sae, d_in, config.seed).to(device, dtype)
            self.parameters = self.initial(rows)
            self.state = self.initial_state(rows)
        self.rough = (
            config.precision == "bfloat16"
            and dtype == torch.float32
            and (rows.device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported())
        )
        self._rough_rows = torch.empty_like(rows, dtype=torch.bfloat16) if self.rough else None
        self._rough_pre: Tensor | None = None

    @classmethod  # noqa: B027
    def check(cls, config: TrainingConfig) -> None:
        """Refuse what the method cannot train, before anything is computed.

        Raises:
            TrainingError: the configuration asks for something that this architecture lacks.
        """

    def initial(self, rows: Tensor) -> dict[str, Tensor]:
        """Parameters before training, given random unit decoder rows [d_sae, d_in]."""
        return {
            "W_enc": rows.clone(),
            "b_enc": rows.new_zeros(self.d_sae),
            "W_dec": rows,
            "b_dec": rows.new_zeros(self.d_in),
        }

    def initial_state(self, rows: Tensor) -> dict[str, Tensor]:
        """State before training, on the device of the decoder rows [d_sae, d_in]."""
        return {"silent": torch.zeros(len(rows), dtype=torch.int64, device=rows.device)}

    def start(self, mean: Tensor) -> None:
        """Set b_dec to the mean of the data [d_in], training units."""
        self.parameters["b_dec"].copy_(mean)

    def calibrate(self, x: Tensor) -> None:  # noqa: B027
        """Set what depends on a first batch x [n, d_in], training units; here nothing does."""

    @classmethod
    def peak(cls, config: TrainingConfig) -> float:
        """Adam's peak learning rate: the configuration's, or else the architecture's own."""
        own: float = cls.rate * (4096 / config.d_sae) ** 0.5
        return own if config.learning_rate is None else config.learning_rate

    @property
    def learning_rate(self) -> float:
        """Adam's peak learning rate in this training."""
        return self.peak(self.config)

    @property
    def dead(self) -> Tensor:
        """Features that have not fired for `dead_after` tokens, bool [d_sae]."""
        return self.state["silent"] >= self.config.dead_after

    def weight_at(self, step: int) -> float:  # noqa: ARG002
        """The weight of the sparsity penalty in a step; 0 without one."""
        return 0.0

    @abstractmethod
    def activations(self, x: Tensor) -> Tensor:
        """Activations of x [n, d_in], [n, d_sae], differentiable; the reference for `step`."""

    @abstractmethod
    def loss(self, x: Tensor, weight: float) -> Tensor:
        """The published loss of x [n, d_in], 0-d, computed densely and differentiable."""

    @abstractmethod
    def step(self, x: Tensor, weight: float, redirect: Redirect | None = None) -> StepResult:
        """The same loss of x [n, d_in] and its gradients, computed sparsely, without autograd."""

    def constrain_gradients(self, gradients: dict[str, Tensor]) -> None:
        """Remove what would only change the length of decoder rows, in place.

        Source: Bricken et al. 2023.
        """
        rows, gradient = self.parameters["W_dec"], gradients["W_dec"]
        parallel = (gradient * rows).sum(dim=-1, keepdim=True)
        gradient.addcmul_(parallel, rows, value=-1.0)

    def constrain(self) -> None:
        """Give the parameters, in place, what holds after every step: unit decoder rows."""
        rows = self.parameters["W_dec"]
        rows.div_(torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min_(1e-12))

    def after_step(
        self,
        step: int,  # noqa: ARG002
        x: Tensor,
        result: StepResult,
        optimizer: Adam,  # noqa: ARG002
    ) -> None:
        """Count the tokens since each feature fired; methods override this to steer or resample.

        Args:
            step: number of the step just done.
            x: its inputs, training units, [n, d_in].
            result: what it computed.
            optimizer: holds the moments, which begin again for features that are resampled.
        """
        silent = self.state["silent"]
        silent += len(x)
        silent[result.fired] = 0

    def settle(self, batches: Iterator[Tensor]) -> None:  # noqa: B027
        """Measure anew what follows the weights only slowly; methods with such a state override it.

        Args:
            batches: some of the last inputs, training units, [n, d_in] each.
        """

    @abstractmethod
    def finished(self, hook_point: str, scale: float, shift: Tensor) -> Dictionary:
        """The dictionary in model units, with x_train = (x_model - shift) * scale folded in."""

    @torch.no_grad()
    def fold_into(self, dictionary: Dictionary, scale: float, shift: Tensor) -> None:
        """Fill W_enc, b_enc, W_dec and b_dec of a dictionary that subtracts b_dec, in model units.

        Decoder rows stay as they are, so activations and all biases are divided by `scale`.
        """
        p = self.parameters
        dictionary.to(p["W_dec"].device, p["W_dec"].dtype).requires_grad_(False).eval()
        dictionary.W_enc.copy_(p["W_enc"].T)
        if "b_enc" in p:
            dictionary.b_enc.copy_(p["b_enc"] / scale)
        dictionary.W_dec.copy_(p["W_dec"])
        dictionary.b_dec.copy_(p["b_dec"] / scale + shift)

    def pre_activations(self, u: Tensor, bias: Tensor | None = None) -> Tensor:
        """u W_enc^T + bias for encoder inputs u [n, d_in]: [n, d_sae], bfloat16 where `rough`.

        The bias is b_enc, or another one [d_sae]. In bfloat16 the next call writes over the result:
        new memory for it every time costs as much as a fifth of the product.
        """
        rows = self.parameters["W_enc"]
        bias = self.parameters["b_enc"] if bias is None else bias
        if self._rough_rows is None:
            return functional.linear(u, rows, bias)
        low, shape = torch.bfloat16, (len(u), self.d_sae)
        self._rough_rows.copy_(rows)
        if self._rough_pre is None or self._rough_pre.shape != shape:
            self._rough_pre = torch.empty(shape, dtype=low, device=u.device)
        torch.mm(u.to(low), self._rough_rows.T, out=self._rough_pre)
        return self._rough_pre.add_(bias.to(low))

    def dense(self, a: Tensor, b: Tensor) -> Tensor:
        """a @ b in the parameters' dtype, multiplied in bfloat16 where `rough`."""
        if self.rough:
            return (a.to(torch.bfloat16) @ b.to(torch.bfloat16)).float()
        return a.to(b.dtype) @ b


@contextmanager
def _in_memory(d_sae: int, d_in: int) -> Iterator[None]:
    """Turn torch's RuntimeError about memory into a `TrainingError` that says what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        raise TrainingError(
            f"{d_sae:,} features of {d_in:,} coordinates do not fit into memory: "
            "give fewer --features."
        ) from error


def unit_rows(d_sae: int, d_in: int, seed: int) -> Tensor:
    """Random directions, [d_sae, d_in] float32; the same on every device."""
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(d_sae, d_in, generator=draw), dim=-1)
