"""The job behind automata: whether steering one feature makes the next one fire."""

from __future__ import annotations

from collections.abc import Iterator

from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.events import Event, Progress, StepArm
from app.worker.protocol.requests import TryStepRequest


def try_steering(request: TryStepRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Try a step; a step of the work is a few contexts, or loading.

    For example /try-step
    with a TryStepRequest
    """
    from sae_core.circuits.automata.steering import CONTEXTS_AT_ONCE, StepTrial, try_step

    loaded = yield from shelf.dictionaries(request.model, [request.dictionary])
    trial = StepTrial(
        source=request.source,
        target=request.target,
        maximum=request.maximum,
        strengths=request.strengths,
        contexts=request.contexts,
        written=request.written,
        others=request.others,
    )
    rounds = -(-len(request.contexts) // CONTEXTS_AT_ONCE)
    total = rounds * (1 + len(request.strengths) * (2 if request.others else 1))
    done = 0
    for count in try_step(shelf.model(request.model), loaded[request.dictionary], trial):
        if count is None:
            done += 1
            yield Progress(done=done, total=total)
        else:
            yield StepArm(
                arm=count.arm.value,
                strength=count.strength,
                contexts=count.contexts,
                fired=count.fired,
                wrote=count.wrote,
            )
