"""The job behind graphs: what a prediction is made of."""

from __future__ import annotations

from collections.abc import Iterator

from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack_int32
from app.worker.protocol.events import Event, GraphBegan, GraphTraced, Progress
from app.worker.protocol.requests import GraphRequest


def trace_graph(request: GraphRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Build a graph; a step is a chunk of its targets, the pass over the prompt, or loading.

    For example /graph
    with a GraphRequest
    """
    from sae_core.circuits.build import graph_steps
    from sae_core.circuits.packing import pack_graph
    from sae_core.circuits.settings import GraphSettings
    from sae_core.interventions.prompt import prompt_tokens

    loaded = yield from shelf.dictionaries(
        request.model, [part.reference for part in request.dictionaries]
    )
    model = shelf.model(request.model)
    tokens = prompt_tokens(model, request.prompt)
    settings = GraphSettings(
        max_logits=request.max_logits,
        desired_probability=request.desired_probability,
        target_tokens=request.targets,
        target_features=tuple((f.place, f.position, f.feature) for f in request.features),
        max_nodes=request.max_nodes,
        memory=request.memory,
    )
    steps = graph_steps(
        model,
        tokens,
        [loaded[part.reference] for part in request.dictionaries],
        settings,
        [part.name for part in request.dictionaries],
    )
    said = False
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            yield GraphTraced(graph=pack_graph(end.value))
            return
        if not said:
            said = True
            yield GraphBegan(
                tokens=pack_int32(tokens.numpy()), features=step.total, memory=step.bytes
            )
        yield Progress(done=step.done, total=step.total)
