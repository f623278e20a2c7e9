"""A training's checkpoint: one safetensors file that appears whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae_core.dictionaries.dictionary import Output
from sae_core.errors import TrainingError
from sae_core.files.atomic import atomic_file
from sae_core.training.config import TrainingConfig, TrainingPoint
from sae_core.training.data.stream import ActivationStream
from sae_core.training.method import Method
from sae_core.training.optimizer import Adam


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training has come.

    Attributes:
        step: how many steps are done.
        curve: the points of the training curves so far, in order.
    """

    step: int
    curve: tuple[TrainingPoint, ...]


def run_identity(
    config: TrainingConfig,
    stream: ActivationStream,
    hook_point: str,
    downstream: str | None,
    output: Output | None = None,
) -> dict[str, str]:
    """All that decides what is trained, by the name that messages call it."""
    identity = {
        "configuration": json.dumps(asdict(config), sort_keys=True),
        "activations": stream.identity,
        "hook point": hook_point,
        "downstream loss": downstream or "none",
    }
    if output is not None:
        described = asdict(output)
        if output.layers == 1:  # as trainings of one block were called before there were others
            del described["layers"]
        identity["output"] = json.dumps(described, sort_keys=True)
    return identity


def save_progress(
    path: Path, identity: dict[str, str], method: Method, adam: Adam, progress: TrainingProgress
) -> None:
    """Write weights, optimizer, counters and curve into one file, which replaces the one before.

    Raises:
        DiskError: it cannot be written; the file before is still there.
    """
    tensors = {name: t.detach().to("cpu") for name, t in _tensors(method, adam).items()}
    metadata = {
        "identity": json.dumps(identity),
        "step": str(progress.step),
        "curve": json.dumps([asdict(point) for point in progress.curve]),
    }
    with atomic_file(path) as draft:
        try:
            save_file(tensors, draft, metadata)
        except SafetensorError as error:  # a full disk, in its own words
            raise OSError(str(error)) from error


def load_progress(
    path: Path, identity: dict[str, str], method: Method, adam: Adam
) -> TrainingProgress | None:
    """Fill method and optimizer from a checkpoint; None where there is none.

    Raises:
        TrainingError: it is damaged, or belongs to another training.
    """
    if not path.exists():
        return None
    with _opened(path, identity) as (file, metadata):
        for name, tensor in _tensors(method, adam).items():
            tensor.copy_(file.get_tensor(name))
        curve = tuple(TrainingPoint(**point) for point in json.loads(metadata["curve"]))
        return TrainingProgress(int(metadata["step"]), curve)


def check_progress(path: Path, identity: dict[str, str]) -> None:
    """Refuse a checkpoint that `load_progress` would, before anything is begun.

    Raises:
        TrainingError: it is damaged, or belongs to another training.
    """
    if path.exists():
        with _opened(path, identity):
            pass


@contextmanager
def _opened(path: Path, identity: dict[str, str]) -> Iterator[tuple[Any, dict[str, str]]]:
    """The checkpoint and its metadata, once it is known to belong to this training."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            _check_identity(path, json.loads(metadata["identity"]), identity)
            yield file, metadata
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path} is damaged or no checkpoint of a training ({error}): remove it to start anew."
        ) from error


def _tensors(method: Method, adam: Adam) -> dict[str, Tensor]:
    return method.parameters | method.state | adam.tensors()


def _check_identity(path: Path, saved: dict[str, str], wanted: dict[str, str]) -> None:
    for name, value in wanted.items():
        if saved.get(name) != value:
            raise TrainingError(
                f"{path} belongs to a training with another {name}: remove it to start anew, or "
                "give the same as before."
            )
