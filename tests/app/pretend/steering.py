"""A workbench that pretends to steer: its texts follow from the request alone, without torch.

The prompt chooses the behaviour: it may ask for slow steps, a refusal, or the worker's death.
"""

from __future__ import annotations

import math
import os
import re
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import uvicorn

from app.errors import InvalidRequest
from app.listening import listen
from app.settings import Settings, read_settings
from app.worker.client.supervisor import WorkerPhase, WorkerProcess
from app.worker.process.jobs.registry import Workbench
from app.worker.process.limits import Limits
from app.worker.process.server import create_worker, serve_on
from app.worker.protocol.events import (
    DoseBase,
    DosePoint,
    Event,
    Generated,
    Pane,
    SideEffects,
    SteerBegan,
    Traits,
)
from app.worker.protocol.requests import DoseRequest, SteerRequest, WorkRequest
from tests.factories import PIECES

PROMPT_TOKENS = (0, 1, 2)
N_FEATURES = 3
OVERFLOWS, STRONGEST_FINITE = "overflow", 8.0
LOOPS, STRONGEST_PLAIN = "loop", 2.0
DIES, REFUSES, SLOW = "die", "refuse", re.compile(r"slow (\d+)")


def drawn(request: SteerRequest | DoseRequest, pane: Pane, strengths: Any) -> list[int]:
    """The tokens of a text: they follow from the request and, where steered, from the edits."""
    what = repr((request.prompt, request.sampling, pane is Pane.STEERED and strengths))
    rng = np.random.default_rng(zlib.crc32(what.encode()))
    # No <|endoftext|>, and no pieces that are not UTF-8 by themselves.
    usable = [t for t in range(1, len(PIECES)) if t not in (8, 9, 10)]
    return [int(t) for t in rng.choice(usable, request.n_tokens)]


def strengths_of(request: SteerRequest) -> tuple[Any, ...]:
    """What of the edits changes the text."""
    return tuple((e.feature, e.mode.value, round(e.strength, 3), e.maximum) for e in request.edits)


def text_of(request: SteerRequest, pane: Pane) -> str:
    """The whole text of one pane, as a lone run gives it."""
    return b"".join(PIECES[t] for t in drawn(request, pane, strengths_of(request))).decode()


class PretendSteering(Workbench):
    """Sleeps a little at each step; knows what runs, what was closed and what was asked."""

    def __init__(self, step_ms: float = 1.0) -> None:
        self.step_ms = step_ms
        self.steps = 0
        self.closed = 0
        self.running = 0
        self.most_running = 0
        self.asked: list[WorkRequest] = []

    def prepare(self) -> None:
        pass

    def work(self, request: WorkRequest) -> Iterator[Event]:
        assert isinstance(request, SteerRequest | DoseRequest)
        self.asked.append(request)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if request.prompt == REFUSES:
                raise InvalidRequest(
                    "The prompt has 200 tokens, and the model takes 128 at most.", "prompt"
                )
            steps = _dose(request) if isinstance(request, DoseRequest) else _steer(request)
            slow = SLOW.search(str(request.prompt))
            for number, event in enumerate(steps):
                time.sleep((float(slow[1]) if slow else self.step_ms) / 1000)
                if DIES in str(request.prompt) and number > 8:
                    os._exit(9)
                self.steps += 1
                yield event
        except GeneratorExit:
            self.closed += 1
            raise
        finally:
            self.running -= 1


def _steer(request: SteerRequest) -> Iterator[Event]:
    yield SteerBegan(tokens=np.array(PROMPT_TOKENS, "<i4").tobytes())
    strengths = strengths_of(request)
    texts = {pane: drawn(request, pane, strengths) for pane in Pane}
    for step in range(request.n_tokens):
        for pane, tokens in texts.items():
            yield Generated(
                pane=pane,
                step=step,
                token=tokens[step],
                probability=0.25,
                text=PIECES[tokens[step]].decode(),
            )
    if request.traits is None:
        return
    n = request.n_tokens
    features = np.tile(np.array([2, 0, -1], "<i4"), (n, 1))
    for pane in Pane:
        yield Traits(
            pane=pane,
            unsteered=np.full(n, 0.25, "<f4").tobytes(),
            steered=np.full(n, 0.5, "<f4").tobytes(),
            features=features.tobytes(),
            activations=np.tile(np.array([1.5, 0.5, 0.0], "<f4"), (n, 1)).tobytes(),
            perplexity=12.0 if pane is Pane.UNSTEERED else 18.0,
        )
    yield SideEffects(
        features=np.array([1, 2], "<i4").tobytes(),
        unsteered=np.array([0.0, 0.75], "<f4").tobytes(),
        steered=np.array([1.25, 0.25], "<f4").tobytes(),
        reads=tuple(edit.strength * edit.maximum for edit in request.edits),
    )


def _dose(request: DoseRequest) -> Iterator[Event]:
    yield DoseBase(
        perplexity=10.0, activation=0.1, probabilities=(0.05,) * len(request.watched), distinct=0.9
    )
    for strength in request.strengths:
        if request.prompt == OVERFLOWS and abs(strength) > STRONGEST_FINITE:
            yield DosePoint(
                strength=strength,
                kl=math.nan,
                perplexity=math.nan,
                activation=math.nan,
                probabilities=(math.nan,) * len(request.watched),
                distinct=math.nan,
                text="",
            )
            continue
        yield DosePoint(
            strength=strength,
            kl=0.02 * strength * strength,
            perplexity=10.0 * 1.15 ** abs(strength),
            activation=max(0.0, strength * request.maximum),
            probabilities=tuple(0.05 + 0.005 * strength for _ in request.watched),
            distinct=0.1 if request.prompt == LOOPS and strength > STRONGEST_PLAIN else 0.9,
            text=f" text at {strength:g}",
        )


@contextmanager
def steering_worker(workbench: PretendSteering, settings: Settings) -> Iterator[str]:
    """The address of a worker in a thread of this process."""
    limits = Limits(heartbeat_seconds=0.2)
    with listen("127.0.0.1", 0) as listening:
        app = create_worker(settings, workbench, limits)
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@contextmanager
def steering_child(settings: Settings) -> Iterator[WorkerProcess]:
    """A worker in a process of its own, ready and watched as the real one is."""
    process = WorkerProcess(
        settings,
        lambda descriptor: [sys.executable, "-m", "tests.app.pretend.steering", str(descriptor)],
    )
    process.start()
    try:
        end = time.monotonic() + 60
        while process.state.phase != WorkerPhase.READY:
            assert time.monotonic() < end, "the worker never became ready"
            time.sleep(0.02)
        yield process
    finally:
        process.stop()


if __name__ == "__main__":
    settings = read_settings()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        app = create_worker(settings, PretendSteering(), Limits(heartbeat_seconds=0.2))
        serve_on(listening, settings, app, stop_with_stdin=True)
