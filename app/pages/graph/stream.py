"""A graph while it is computed: the worker's events, said to the browser, and the end kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.concurrency import run_in_threadpool

from app.pages.graph import schema as types
from app.pages.graph.asking import GraphTask, keep
from app.rendering.addresses import graph_address
from app.rendering.numbers import count, size
from app.store.types.graphs import GraphView
from app.web.live.events import LiveEvent
from app.web.model import AddressedModel
from app.worker.protocol.arrays import unpack_int32
from app.worker.protocol.events import GraphBegan, GraphTraced, Progress, Result


class GraphSpeech:
    """What the worker's events are to who asked."""

    def __init__(self, model: AddressedModel, task: GraphTask) -> None:
        self._model = model
        self._task = task

    async def say(self, event: Result | Progress) -> LiveEvent | None:
        """One event; the last one is kept in the store first."""
        if isinstance(event, Progress):
            return types.StepEvent(done=event.done, total=event.total)
        if isinstance(event, GraphBegan):
            return began(event)
        if isinstance(event, GraphTraced):
            return ready(await run_in_threadpool(keep, self._model, self._task, event))
        return None


async def at_once() -> AsyncGenerator[Result | Progress, None]:
    """The worker's events where there is nothing left to do."""
    yield Progress(done=1, total=1)


def began(event: GraphBegan) -> types.TracingBeganEvent:
    """What the graph will take."""
    tokens = len(unpack_int32(event.tokens))
    return types.TracingBeganEvent(
        tokens=tokens,
        features=event.features,
        memory=event.memory,
        sentence=f"{count(tokens)} tokens, up to {count(event.features)} features; takes up to "
        f"{size(event.memory)} besides the weights.",
    )


def ready(view: GraphView) -> types.ReadyEvent:
    """The graph is kept."""
    return types.ReadyEvent(name=view.name, address=graph_address(view.model, view.name))
