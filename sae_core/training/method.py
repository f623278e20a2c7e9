"""What all training methods share: parameters, the published loss, a sparse step, the result.

Inputs are in training units: x_train = (x_model - shift) * scale. While training W_enc is kept as
rows, [d_sae, d_in], so that gradients of both weights are sums of rows.

A sparse autoencoder reconstructs what it reads, y = x, and encodes u = x - b_dec. A transcoder has
another activation y beside x in the rows of a batch, and encodes u = x - centre, where the centre
is the mean of the data; with a skip connection u W_skip^T is part of y_hat.
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

from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.errors import TrainingError
from sae_core.training.config import TrainingConfig
from sae_core.training.optimizer import Adam

_RIDGE = 1e-3  # of least squares, relative to the mean square of what is read
_SHORT = 1e-3  # what a decoder row's direction is not read from, relative to the encoder's row

Redirect = Callable[[Tensor, Tensor], Tensor]
"""Takes y_hat and dL/dy_hat, [n, d_out] each in training units; returns the dL/dy_hat to use."""


@dataclass(frozen=True)
class StepResult:
    """What one step computed, before any parameter is changed.

    Attributes:
        gradients: of the loss with respect to each parameter, by the parameter's name.
        loss: the loss of the batch, 0-d.
        error: mean over tokens of ||y - y_hat||^2, training units, 0-d.
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
        transcodes: whether it trains transcoders, too.
        crosses_layers: whether it trains cross-layer transcoders, and nothing else.
        rate: Adam's peak learning rate at 4,096 features; others by 1/sqrt(d_sae).
        parameters: what the optimizer moves, by name: W_enc [d_sae, d_in], b_enc [d_sae], W_dec
            [d_sae, d_out], b_dec [d_out], or what the architecture has; W_skip [d_out, d_in] with a
            skip connection.
        state: what else a checkpoint keeps, by name. `silent`, int64 [d_sae], is the number of
            tokens since each feature last fired; `centre`, [d_in], is a transcoder's.
        rough: whether pre-activations are computed in bfloat16.
    """

    architecture: ClassVar[str]
    transcodes: ClassVar[bool] = True
    crosses_layers: ClassVar[bool] = False
    rate: ClassVar[float] = 1.2e-3

    def __init__(
        self,
        config: TrainingConfig,
        d_in: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        output: Output | None = None,
    ) -> None:
        self.check(config)
        self.check_output(output)
        self.layers = 1 if output is None else output.layers
        self.config, self.d_in, self.d_sae = config, d_in, config.d_sae * self.layers
        self.output = output
        self.d_out = d_in if output is None else output.d_out
        with _in_memory(self.d_sae, d_in // self.layers):
            rows = unit_rows(self.d_sae, d_in // self.layers, config.seed).to(device, dtype)
            self.parameters = self.initial(rows)
            self.state = self.initial_state(rows)
            if output is not None:
                self._begin_at_output(rows, output)
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

    @classmethod
    def check_output(cls, output: Output | None) -> None:
        """Refuse a transcoder where the method trains none.

        Raises:
            TrainingError: there is no such transcoder.
        """
        if output is not None and not cls.transcodes:
            raise TrainingError(
                f"There are no {cls.architecture} transcoders: leave the output hook point out, or "
                "train another architecture, such as topk."
            )

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

    def _begin_at_output(self, rows: Tensor, output: Output) -> None:
        """Give a transcoder's parameters and state their widths, given rows like those of W_enc."""
        p = self.parameters
        p["W_dec"] = unit_rows(self.d_sae, output.d_out, self.config.seed + 1).to(rows)
        p["b_dec"] = rows.new_zeros(output.d_out)
        if output.skip:
            p["W_skip"] = rows.new_zeros(output.d_out, self.d_in)
        self.state["centre"] = rows.new_zeros(self.d_in)

    def start(self, mean: Tensor) -> None:
        """Set b_dec, and a transcoder's centre, to the mean of a batch's rows [width]."""
        if self.output is not None:
            self.state["centre"].copy_(mean[: self.d_in])
            mean = mean[self.d_in :]
        self.parameters["b_dec"].copy_(mean)

    @torch.no_grad()
    def align(self, batch: Tensor) -> None:
        """Let a transcoder begin near the best linear map of what it reads, given a batch's rows.

        Where what is read moves along a feature's encoder row w, what is written moves by w A on
        average, with A from least squares. The decoder row begins as that direction, and w as long
        as it. A sparse autoencoder begins so as well: there A is 1, and both rows are the same.
        Encoder and decoder rows drawn apart, in spaces that have no direction in common, would have
        to find each other first.
        """
        if self.output is None:
            return
        p, (u, wanted) = self.parameters, self.centred(batch)
        moved = (p["W_enc"].double() @ linear_map(u, wanted)).to(p["W_enc"])
        lengths = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
        p["W_dec"].copy_(torch.where(lengths > _SHORT, moved / lengths, p["W_dec"]))
        p["W_enc"].mul_(lengths.clamp_min(_SHORT))

    def ends(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """What is read, x [n, d_in], and what is reconstructed, y [n, d_out], of a batch's rows."""
        if self.output is None:
            return batch, batch
        return batch[:, : self.d_in], batch[:, self.d_in :]

    def centred(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Of a batch's rows what the encoder is given, u [n, d_in], and what features are to
        reconstruct: y without what is there where none fires, [n, d_out]."""
        p = self.parameters
        if self.output is None:
            u = batch - p["b_dec"]
            return u, u
        x, y = self.ends(batch)
        u, rest = x - self.state["centre"], y - p["b_dec"]
        return u, torch.addmm(rest, u, p["W_skip"].T, alpha=-1) if self.output.skip else rest

    def dense_ends(self, p: dict[str, Tensor], batch: Tensor) -> tuple[Tensor, Tensor]:
        """u [n, d_in], and what is reconstructed where no feature fires, [n, d_out] or [d_out],
        given these parameters, differentiable: the reference for `centred`."""
        x, _ = self.ends(batch)
        if self.output is None:
            return x - p["b_dec"], p["b_dec"]
        u = x - self.state["centre"]
        return u, p["b_dec"] + u @ p["W_skip"].T if self.output.skip else p["b_dec"]

    def through_ends(self, gradients: dict[str, Tensor], u: Tensor, by_y_hat: Tensor) -> None:
        """Complete gradients by what goes through the encoder's input or the skip connection.

        Args:
            gradients: of the weights and of b_enc, and of b_dec so far.
            u: encoder inputs, [n, d_in].
            by_y_hat: dL/dy_hat, [n, d_out].
        """
        if self.output is None:
            gradients["b_dec"] -= gradients["b_enc"] @ self.parameters["W_enc"]
        elif self.output.skip:
            gradients["W_skip"] = by_y_hat.T @ u

    def calibrate(self, x: Tensor) -> None:  # noqa: B027
        """Set what depends on a first batch x [n, width], training units; here nothing does."""

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
        """Activations of rows [n, width], [n, d_sae], differentiable; the reference for `step`."""

    @abstractmethod
    def loss(self, x: Tensor, weight: float) -> Tensor:
        """The published loss of rows [n, width], 0-d, computed densely and differentiable."""

    @abstractmethod
    def step(self, x: Tensor, weight: float, redirect: Redirect | None = None) -> StepResult:
        """The same loss of x [n, width] and its gradients, computed sparsely, without autograd."""

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
            x: its batch's rows, training units, [n, width].
            result: what it computed.
            optimizer: holds the moments, which begin again for features that are resampled.
        """
        silent = self.state["silent"]
        silent += len(x)
        silent[result.fired] = 0

    def settle(self, batches: Iterator[Tensor]) -> None:  # noqa: B027
        """Measure anew what follows the weights only slowly; methods with such a state override it.

        Args:
            batches: some of the last batches' rows, training units, [n, width] each.
        """

    @abstractmethod
    def finished(self, hook_point: str, scale: float, shift: Tensor) -> Dictionary:
        """The dictionary in model units, with y_train = (y_model - shift) * scale folded in.

        Of a transcoder's input nothing is folded in yet: see `fold_input`.
        """

    @torch.no_grad()
    def fold_input(self, dictionary: Dictionary, stretch: float, shift: Tensor) -> None:
        """Let a finished transcoder read what the model has.

        Args:
            dictionary: as `finished` gives it: it reads u.
            stretch: scale of what is read over that of what is written.
            shift: of what is read, [d_in], model units, its centre included.
        """
        dictionary.W_enc.mul_(stretch)
        dictionary.b_enc.sub_(shift @ dictionary.W_enc)
        if self.output is not None and self.output.skip:
            dictionary.W_skip.copy_(self.parameters["W_skip"] * stretch)
            dictionary.b_dec.sub_(dictionary.W_skip @ shift)

    @torch.no_grad()
    def fold_into(self, dictionary: Dictionary, scale: float, shift: Tensor) -> None:
        """Fill W_enc, b_enc, W_dec and b_dec of a dictionary that is given u, in model units.

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


def linear_map(u: Tensor, wanted: Tensor) -> Tensor:
    """The best linear map from u [n, d_in] to what is wanted [n, d_out], by least squares with a
    small ridge; float64 [d_in, d_out]."""
    u = u.double()
    square = u.T @ u
    square.diagonal().add_(_RIDGE * square.diagonal().mean().clamp_min(1e-12))
    solved: Tensor = torch.linalg.solve(square, u.T @ wanted.double())
    return solved


def unit_rows(d_sae: int, d_in: int, seed: int) -> Tensor:
    """Random directions, [d_sae, d_in] float32; the same on every device."""
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(d_sae, d_in, generator=draw), dim=-1)
