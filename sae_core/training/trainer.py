"""Training one dictionary on a stream of activations."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary, Output
from sae_core.errors import TrainingError
from sae_core.training.config import Normalisation, TrainingConfig, TrainingPoint
from sae_core.training.data.downstream import DownstreamBatch, DownstreamLoss, balanced
from sae_core.training.data.stream import ActivationStream, Moments
from sae_core.training.method import Method, Redirect, StepResult
from sae_core.training.methods import method_class
from sae_core.training.optimizer import Adam, rate_at
from sae_core.training.state import TrainingProgress, load_progress, run_identity, save_progress

POINT_EVERY = 50
CHECKPOINT_EVERY = 5
_CONSTANT = 1e-12  # of the mean squared norm: a variance that is rounding alone
_SHORT = 500  # steps, in which running averages (rate 0.01) forget where they began
_SETTLING = 16  # batches


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        dictionary: the trained dictionary, in units of the model.
        curve: the points of its training curves, in order.
    """

    dictionary: Dictionary
    curve: tuple[TrainingPoint, ...]


@dataclass(frozen=True)
class _Unit:
    """The change of units x_train = (x_model - shift) * scale; shift is [d]."""

    scale: float
    shift: Tensor

    def into(self, x: Tensor) -> Tensor:
        """Activations in training units."""
        return (x - self.shift).mul_(self.scale)


@dataclass(frozen=True)
class _Units:
    """The changes of units of what is read and of what is reconstructed: for a sparse autoencoder
    one and the same."""

    read: _Unit
    write: _Unit

    def into(self, batch: Tensor) -> Tensor:
        """A batch's rows [n, width] in training units."""
        if self.write is self.read:
            return self.read.into(batch)
        d_in = len(self.read.shift)
        ends = self.read.into(batch[:, :d_in]), self.write.into(batch[:, d_in:])
        return torch.cat(ends, dim=1)

    def redirect(self, batch: DownstreamBatch) -> Redirect:
        """Adds the gradient of the divergence of predictions to that of the reconstruction."""

        def redirected(y_hat: Tensor, gradient: Tensor) -> Tensor:
            divergence = batch.divergence(y_hat / self.write.scale + self.write.shift)
            return balanced(gradient, divergence.gradient)

        return redirected

    def dictionary(self, method: Method, hook_point: str) -> Dictionary:
        """What the method trained, in model units."""
        dictionary = method.finished(hook_point, self.write.scale, self.write.shift)
        if self.write is not self.read:
            shift = method.state["centre"] / self.read.scale + self.read.shift
            method.fold_input(dictionary, self.read.scale / self.write.scale, shift)
        return dictionary


def train(
    stream: ActivationStream,
    config: TrainingConfig,
    hook_point: str,
    checkpoint: Path,
    on_point: Callable[[TrainingPoint], None] | None = None,
    downstream: DownstreamLoss | None = None,
    point_every: int = POINT_EVERY,
    output: Output | None = None,
) -> Trained:
    """Train a dictionary, going on from `checkpoint` where there is one.

    A resumed training ends with the very weights of an uninterrupted one on the same device and
    number of threads. The checkpoint is replaced as a whole, every five points and at the end.

    Args:
        stream: the activations to train on.
        config: how to train.
        hook_point: where the activations come from; kept with the dictionary.
        checkpoint: the file that a killed training goes on from.
        on_point: called with every new point of the training curves.
        downstream: the loss of predictions for the last steps, where `config.downstream` asks for
            it.
        point_every: number of steps from one point to the next.
        output: what a transcoder reconstructs, which stands in the stream's rows beside what it
            reads; None: what it reads.

    Raises:
        TrainingError: the checkpoint belongs to another training, the configuration contradicts
            itself, or activations or loss are no longer finite.
        DiskError: the checkpoint cannot be written; the one before is still there.
    """
    if bool(config.downstream) != (downstream is not None):
        raise TrainingError("Downstream training needs both a share of the steps and a model.")
    # The method at its start, and whatever an earlier run of the same training kept.
    units = _units(stream, config.normalisation, output)
    kind = method_class(config.architecture, output)
    method = kind(config, stream.d_in, stream.device, output=output)
    method.start(units.into(_mean(stream)[None])[0])
    first = units.into(stream.batch(0))
    method.align(first)
    method.calibrate(first)
    adam = Adam(method.parameters)
    aim = None if downstream is None else downstream.identity
    identity = run_identity(config, stream, hook_point, aim, output)
    progress = load_progress(checkpoint, identity, method, adam) or TrainingProgress(0, ())
    curve = list(progress.curve)
    first_whole = config.steps - round(config.downstream * config.steps)
    meter = _Meter(method, progress.step)
    for step in range(progress.step, config.steps):
        redirect = None
        if downstream is not None and step >= first_whole:
            batch = downstream.batch(step)
            x, redirect = units.into(batch.x), units.redirect(batch)
        else:
            x = units.into(stream.batch(step))
        # One step: gradients, Adam, and what the method does after it.
        weight = method.weight_at(step)
        result = method.step(x, weight, redirect)
        _apply(method, adam, result, rate_at(config, method.learning_rate, step))
        method.after_step(step, x, result, adam)
        meter.add(x, result)
        done = step + 1
        if done % point_every and done < config.steps:
            continue
        # A point of the curves, and every few points a checkpoint.
        point = meter.point(done, weight)
        kept = done % (point_every * CHECKPOINT_EVERY) == 0 or done == config.steps
        # The loss is that of the step before the last update, which alone can spoil the weights.
        if not math.isfinite(point.loss) or (kept and not _finite(method)):
            kept_before = (
                f"{checkpoint} keeps what was trained before. " if checkpoint.exists() else ""
            )
            raise TrainingError(
                f"Loss or weights are no longer finite in the {point_every} steps before step "
                f"{done}. {kept_before}Try a lower learning rate than {method.learning_rate:g}, "
                f"or look for infinite activations at {hook_point}."
            )
        curve.append(point)
        if kept:
            save_progress(checkpoint, identity, method, adam, TrainingProgress(done, tuple(curve)))
        if on_point is not None:
            on_point(point)
    if config.steps < _SHORT:
        last = range(max(0, config.steps - _SETTLING), config.steps)
        method.settle(units.into(stream.batch(step)) for step in last)
    return Trained(units.dictionary(method, hook_point), tuple(curve))


def _mean(stream: ActivationStream) -> Tensor:
    """Mean of a stream's rows, float32 [width]."""
    ends = [stream.mean] if stream.written is None else [stream.mean, stream.written.mean.float()]
    return torch.cat(ends).to(stream.device)


def _units(stream: ActivationStream, normalisation: Normalisation, output: Output | None) -> _Units:
    """The units that a normalisation asks for; refuses activations without variance."""
    read = Moments(stream.mean, stream.mean_square_norm, stream.mean_square_deviation)
    unit = _unit(read, normalisation, stream.device)
    if (output is None) != (stream.written is None):
        raise TrainingError(
            "A transcoder needs rows of both hook points, and nothing else has any use for them."
        )
    if stream.written is None:
        return _Units(unit, unit)
    return _Units(unit, _unit(stream.written, normalisation, stream.device))


def _unit(moments: Moments, normalisation: Normalisation, device: torch.device) -> _Unit:
    """The unit that a normalisation asks for at one hook point."""
    mean = moments.mean.to(device, torch.float32)
    shift = torch.zeros_like(mean)
    square = moments.square_norm
    if not 0 < square < float("inf"):
        raise TrainingError(
            f"The activations' mean squared norm is {square:g}: there is nothing to learn from."
        )
    if moments.square_deviation <= _CONSTANT * square:
        raise TrainingError(
            "The activations are the same at every token: there is nothing to learn from."
        )
    if normalisation is Normalisation.MEAN_AND_NORM:
        shift, square = mean, moments.square_deviation
    if normalisation is Normalisation.NONE:
        return _Unit(1.0, shift)
    return _Unit(math.sqrt(len(mean) / square), shift)


@torch.no_grad()
def _apply(method: Method, adam: Adam, result: StepResult, rate: float) -> None:
    """Move the parameters by a step's gradients, within the method's constraints."""
    method.constrain_gradients(result.gradients)
    adam.step(result.gradients, rate)
    method.constrain()


def _finite(method: Method) -> bool:
    """Whether all parameters are finite numbers."""
    return all(bool(values.isfinite().all()) for values in method.parameters.values())


class _Meter:
    """Sums over the steps since the last point; nothing waits for the device in between."""

    def __init__(self, method: Method, step: int) -> None:
        self._method = method
        self._begin(step)

    def _begin(self, step: int) -> None:
        self._step, self._tokens, self._since = step, 0, time.monotonic()
        zero = torch.zeros((), dtype=torch.float64)
        self._loss = self._l0 = self._error = self._variance = zero

    def add(self, x: Tensor, result: StepResult) -> None:
        """Add a step over rows x [n, width], training units."""
        n, (_, y) = len(x), self._method.ends(x)
        # Sums about the mean, from sums about 0.
        deviation = torch.linalg.vector_norm(y).double().pow(2)
        deviation -= n * torch.linalg.vector_norm(y.mean(dim=0)).double().pow(2)
        self._tokens += n
        self._loss = self._loss.to(x.device) + result.loss.double()
        self._l0 = self._l0.to(x.device) + n * result.l0.double()
        self._error = self._error.to(x.device) + n * result.error.double()
        self._variance = self._variance.to(x.device) + deviation

    def point(self, step: int, penalty: float) -> TrainingPoint:
        """Means since the last point; begins anew."""
        method = self._method
        loss = float(self._loss) / (step - self._step)
        l0, fvu = float(self._l0) / self._tokens, float(self._error / self._variance)
        seconds = time.monotonic() - self._since
        point = TrainingPoint(
            step=step,
            tokens=step * method.config.batch,
            loss=loss,
            l0=l0,
            fvu=fvu,
            dead_share=float(method.dead.double().mean()),
            penalty=penalty,
            tokens_per_second=self._tokens / seconds,
        )
        self._begin(step)
        return point
