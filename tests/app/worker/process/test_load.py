"""Two hundred mixed requests at once, many of whose readers leave: what the others get is right,
and nothing stays behind."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import uvicorn

from app.errors import Overloaded
from app.settings import Settings
from app.worker.client.blocking import WorkerClient
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.process.server import create_worker
from app.worker.protocol.events import Attributed, HealthReply, Occluded, Progress, Result
from app.worker.protocol.requests import (
    AblateRequest,
    AttributeRequest,
    DictionaryRef,
    DoseRequest,
    ModelRef,
    OccludeRequest,
    ReadRequest,
    Sampling,
    SteerEdit,
    SteerMode,
    SteerRequest,
    SteerScope,
    TogetherRequest,
    WorkRequest,
)
from sae_core.language_model.model import LanguageModel, load_model
from tests.app.worker.conftest import Until
from tests.app.worker.tiny import D_SAE, HOOK_POINT, N_CTX, save_features, save_model

N_REQUESTS = 200
LEAVE = 0.35
N_BYTES = 256  # ids below stand for text in the tiny model


class Fleet:
    """A model with two dictionaries, and requests of every kind drawn by a seed."""

    def __init__(self, folder: Path) -> None:
        self.model: ModelRef = save_model(folder / "model")
        self.features = save_features(folder / "features")
        self.neurons = DictionaryRef(path=None, hook_point=HOOK_POINT)

    def draw(self, seed: int) -> WorkRequest:
        """One request, small enough that two hundred take seconds."""
        draw = random.Random(seed)
        tokens = (0, *(draw.randrange(1, N_BYTES) for _ in range(draw.randrange(2, N_CTX - 7))))
        feature = draw.randrange(D_SAE)
        one = {"model": self.model, "dictionary": self.features}
        edit = SteerEdit(
            dictionary=self.features,
            feature=feature,
            mode=draw.choice(list(SteerMode)),
            strength=draw.uniform(-3, 3),
            maximum=2.0,
        )
        sampling = Sampling(seed=seed)
        kinds: tuple[WorkRequest, ...] = (
            AblateRequest(**one, feature=feature, contexts=(tokens, tokens[:-1])),
            ReadRequest(
                model=self.model, prompt=tokens, dictionaries=(self.features, self.neurons)
            ),
            AttributeRequest(**one, tokens=tokens, position=len(tokens) - 1),
            TogetherRequest(**one, tokens=tokens, position=len(tokens), target=5, features=(1, 2)),
            OccludeRequest(**one, feature=feature, tokens=tokens, position=len(tokens) - 1),
            SteerRequest(
                model=self.model,
                prompt=tokens,
                edits=(edit,) * draw.randrange(3),
                scope=draw.choice(list(SteerScope)),
                n_tokens=6,
                sampling=sampling,
                traits=self.features,
            ),
            DoseRequest(
                **one,
                prompt=tokens,
                feature=feature,
                maximum=2.0,
                strengths=(-1.0, 0.0, 1.0),
                n_tokens=3,
                sampling=sampling,
                watched=(1, 2),
            ),
        )
        return kinds[seed % len(kinds)]


@contextmanager
def worker(settings: Settings, workbench: TorchWorkbench, limits: Limits) -> Iterator[str]:
    """A worker that computes, in a thread of this process; its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        server = uvicorn.Server(
            uvicorn.Config(
                create_worker(settings, workbench, limits),
                log_config=None,
                lifespan="on",
                timeout_graceful_shutdown=1,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


Events = list[Result | Progress]
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own: the browser tests leave a running loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def collect(events: AsyncGenerator[Result | Progress, None], most: int | None) -> Events:
    """All events, or the first `most`, after which the reader leaves."""
    found: Events = []
    async with aclosing(events) as stream:
        async for event in stream:
            if most is not None and len(found) == most:
                break
            if not isinstance(event, Progress):
                found.append(event)
    return found


async def crowd(url: str, requests: list[WorkRequest], leaving: list[int | None]) -> list[Events]:
    client = AsyncWorkerClient(lambda: url, silence_seconds=120)
    try:
        return await asyncio.gather(
            *(collect(client.ask(r), most) for r, most in zip(requests, leaving, strict=True))
        )
    finally:
        await client.close()


async def alone(url: str, requests: list[WorkRequest]) -> list[Events]:
    client = AsyncWorkerClient(lambda: url, silence_seconds=120)
    try:
        return [await collect(client.ask(request), None) for request in requests]
    finally:
        await client.close()


def same(left: Events, right: Events) -> bool:
    """As sent, bit for bit; where a job cuts its batches by the clock, number by number."""
    if any(isinstance(event, Attributed | Occluded) for event in (*left, *right)):
        found, wanted = numbers(left), numbers(right)
        return found.keys() == wanted.keys() and all(
            found[key] == pytest.approx(wanted[key], abs=1e-5, nan_ok=True) for key in wanted
        )
    return [e.model_dump_json() for e in left] == [e.model_dump_json() for e in right]


def numbers(events: Events) -> dict[int, float]:
    """What was found of each feature, or of each position."""
    found = dict[int, float]()
    for event in events:
        if isinstance(event, Attributed):
            keys, values = event.features, event.loss_change
        elif isinstance(event, Occluded):
            keys, values = event.positions, event.activations
        else:
            continue
        found |= zip(
            np.frombuffer(keys, "<i4").tolist(),
            np.frombuffer(values, "<f4").tolist(),
            strict=True,
        )
    return found


def test_a_crowd_gets_what_each_would_get_alone(
    settings: Settings, tmp_path: Path, until: Until
) -> None:
    fleet = Fleet(tmp_path)
    requests = [fleet.draw(seed) for seed in range(N_REQUESTS)]
    draw = random.Random(1)
    leaving = [draw.randrange(3) if draw.random() < LEAVE else None for _ in requests]
    workbench = TorchWorkbench("cpu", 1, Limits())
    limits = Limits(jobs=N_REQUESTS, deadline_seconds=600)
    with worker(settings, workbench, limits) as url:
        lone = run(alone(url, requests))
        found = run(crowd(url, requests, leaving))

        def idle() -> bool:
            client = WorkerClient(lambda: url)
            try:
                health: HealthReply = client.health()
            finally:
                client.close()
            return health.jobs == 0 and health.step_seconds == 0.0

        until(idle)
        stayed = [i for i, most in enumerate(leaving) if most is None]
        assert 100 <= len(stayed) < N_REQUESTS
        wrong = [type(requests[i]).__name__ for i in stayed if not same(found[i], lone[i])]
        assert not wrong
        assert all(found[i] for i in stayed)
        assert not hooked(workbench._shelf.model(fleet.model))
        # And the device still answers as before.
        again = run(alone(url, requests[:7]))
        assert all(same(a, b) for a, b in zip(again, lone, strict=False))


def hooked(model: LanguageModel) -> list[str]:
    """Modules on which something was left."""
    return [
        name
        for name, module in model.module.named_modules()
        if module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__
    ]


def test_a_forgotten_hook_would_be_seen(tmp_path: Path) -> None:
    model = load_model(Path(save_model(tmp_path / "model").path))
    assert not hooked(model)
    handle = model.block(0).register_forward_hook(lambda *_: None)
    assert hooked(model)
    handle.remove()
    assert not hooked(model)


def test_beyond_the_queue_requests_are_refused_with_a_time(
    settings: Settings, tmp_path: Path
) -> None:
    n, fleet = 3, Fleet(tmp_path)
    requests = [fleet.draw(seed * 7 + 5) for seed in range(24)]
    with worker(settings, TorchWorkbench("cpu", 1, Limits()), Limits(jobs=n)) as url:

        async def ask_all() -> list[Events | BaseException]:
            client = AsyncWorkerClient(lambda: url)
            try:
                return await asyncio.gather(
                    *(collect(client.ask(r), None) for r in requests), return_exceptions=True
                )
            finally:
                await client.close()

        answers = run(ask_all())
    refused = [a for a in answers if isinstance(a, Overloaded)]
    served = [a for a in answers if isinstance(a, list)]
    assert len(refused) + len(served) == len(answers)
    assert refused
    assert len(served) >= n
    assert all(f"{n} requests" in str(error) and error.retry_after >= 1 for error in refused)
