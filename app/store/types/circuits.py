"""Circuits of tasks as they go into the store and come out of it: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sae_core.circuits.tasks.result import TaskCircuit


@dataclass(frozen=True)
class CircuitDictionary:
    """A dictionary whose features a circuit is of.

    Attributes:
        name: in the store, or the hook point of neurons that are not harvested.
        hook_point: where it reads.
        checksum: of its weights; empty: neurons.
    """

    name: str
    hook_point: str
    checksum: str


@dataclass(frozen=True)
class CircuitPrompt:
    """A prompt of a task, with the answers that are right and those that are wrong."""

    text: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class CircuitRecord:
    """A circuit to be kept.

    Attributes:
        model: name of its model.
        model_checksum: of the model's weights.
        question: SHA-256 of all that decided it.
        title: any text of one line.
        prompts: of the task.
        dictionaries: by place.
        settings: what decided it besides.
        circuit: what was found and tried.
    """

    model: str
    model_checksum: str
    question: str
    title: str
    prompts: tuple[CircuitPrompt, ...]
    dictionaries: tuple[CircuitDictionary, ...]
    settings: dict[str, Any]
    circuit: TaskCircuit


@dataclass(frozen=True)
class CircuitView:
    """A circuit of the store.

    Attributes:
        name: part of its address.
        record: what was kept.
        created: seconds since 1970.
    """

    name: str
    record: CircuitRecord
    created: float
