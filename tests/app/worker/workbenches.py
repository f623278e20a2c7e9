"""Workbenches without torch, driven by the request itself, and the child process that has one.

The feature chooses the behaviour (see `Behaviour`); every context is one step that takes its first
token in milliseconds.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from enum import IntEnum

import numpy as np

from app.settings import read_settings
from app.worker.process.jobs.registry import Workbench
from app.worker.process.limits import Limits
from app.worker.process.server import create_worker, serve_on
from app.worker.protocol.arrays import pack
from app.worker.protocol.events import Event
from app.worker.protocol.requests import AblateRequest, DictionaryRef, ModelRef, WorkRequest
from sae_core.errors import CheckpointError
from sae_core.harvest.records import ContextEffect

MODEL = ModelRef(path="/model", checksum="m")
DICTIONARY = DictionaryRef(path=None, hook_point="blocks.0.mlp.hook_post")


class Behaviour(IntEnum):
    WORK = 0
    DEFECT = 1
    REFUSAL = 2
    MEMORY = 3
    CUDA_MEMORY = 4
    DIE = 5
    HANG = 6


def request(
    steps_ms: list[int], behaviour: Behaviour = Behaviour.WORK, seconds: float | None = None
) -> AblateRequest:
    return AblateRequest(
        model=MODEL,
        dictionary=DICTIONARY,
        feature=int(behaviour),
        contexts=tuple((ms,) for ms in steps_ms),
        deadline_seconds=seconds,
    )


def effect_of(tokens: tuple[int, ...] | list[int]) -> ContextEffect:
    """A made-up effect that depends on the tokens alone."""
    n = len(tokens)
    values = np.array(tokens, dtype=np.float32)
    five = np.arange(5, dtype=np.float32)
    ids = np.tile(np.arange(5, dtype=np.int32), (n, 1))
    return ContextEffect(
        positions=np.arange(n, dtype=np.uint16),
        loss_change=values / 3,
        raised_ids=ids,
        raised=values[:, None] + five,
        lowered_ids=ids + 5,
        lowered=-values[:, None] - five,
    )


class PretendWorkbench(Workbench):
    """Sleeps instead of computing; knows what was closed."""

    def __init__(self) -> None:
        self.steps = 0
        self.closed = 0
        self.running = 0

    def prepare(self) -> None:
        pass

    def work(self, request: WorkRequest) -> Iterator[Event]:
        assert isinstance(request, AblateRequest)
        self.running += 1
        try:
            for index, tokens in enumerate(request.contexts):
                time.sleep(tokens[0] / 1000)
                self.steps += 1
                if index == len(request.contexts) - 1:
                    misbehave(Behaviour(request.feature))
                yield pack(index, effect_of(tokens))
        except GeneratorExit:
            self.closed += 1
            raise
        finally:
            self.running -= 1


def misbehave(behaviour: Behaviour) -> None:
    match behaviour:
        case Behaviour.WORK:
            return
        case Behaviour.DEFECT:
            raise KeyError("a secret that only the log may see")
        case Behaviour.REFUSAL:
            raise CheckpointError("The weights are damaged: copy them again.")
        case Behaviour.MEMORY:
            raise MemoryError
        case Behaviour.CUDA_MEMORY:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        case Behaviour.DIE:
            time.sleep(0.5)  # what was answered before is under way, and would die as well
            os._exit(9)
        case Behaviour.HANG:
            time.sleep(3600)


if __name__ == "__main__":
    limits = Limits(heartbeat_seconds=0.2)
    settings = read_settings()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        app = create_worker(settings, PretendWorkbench(), limits)
        serve_on(listening, settings, app, stop_with_stdin=True)
