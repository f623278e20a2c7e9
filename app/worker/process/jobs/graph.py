"""The jobs behind graphs: what a prediction is made of, and whether the real model agrees."""

from __future__ import annotations

from collections.abc import Iterator

from app.worker.process.jobs.paths import told
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack_float32, pack_int32
from app.worker.protocol.events import (
    Event,
    GraphBegan,
    GraphChecked,
    GraphJudged,
    GraphTraced,
    Progress,
)
from app.worker.protocol.requests import CheckGraphRequest, GraphRequest, JudgeGraphRequest


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


def check_graph(request: CheckGraphRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Take sources out of the real model; a step is some of them, or loading.

    For example /check-graph
    with a CheckGraphRequest
    """
    import numpy as np

    from sae_core.circuits.check import edge_check_steps, node_check_steps
    from sae_core.circuits.packing import unpack_graph

    loaded = yield from shelf.dictionaries(
        request.model, [part.reference for part in request.dictionaries]
    )
    model = shelf.model(request.model)
    dictionaries = [loaded[part.reference] for part in request.dictionaries]
    graph = unpack_graph(request.graph, "The graph to be checked")
    sources = np.unique(graph.edges.source).astype(np.int64)
    # The same sources twice, as one progress.
    edges = yield from told(
        edge_check_steps(model, dictionaries, graph),
        lambda at: Progress(done=at[0], total=2 * at[1]),
    )
    nodes = yield from told(
        node_check_steps(model, dictionaries, graph, sources),
        lambda at: Progress(done=at[1] + at[0], total=2 * at[1]),
    )
    yield GraphChecked(
        frozen=pack_float32(edges.frozen.astype(np.float32)),
        direct=pack_float32(edges.direct.astype(np.float32)),
        total=pack_float32(edges.total.astype(np.float32)),
        sources=pack_int32(sources.astype(np.int32)),
        targets=pack_float32(nodes.total.astype(np.float32)),
    )


def judge_graph(request: JudgeGraphRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Keep features of a graph, and take them out; a step is some sets of them, or loading.

    For example /judge-graph
    with a JudgeGraphRequest
    """
    import numpy as np

    from sae_core.circuits.faithfulness import faithfulness_steps
    from sae_core.circuits.packing import unpack_graph

    loaded = yield from shelf.dictionaries(
        request.model, [part.reference for part in request.dictionaries]
    )
    steps = faithfulness_steps(
        shelf.model(request.model),
        [loaded[part.reference] for part in request.dictionaries],
        [unpack_graph(request.graph, "The graph to be judged")],
        request.sizes,
        request.draws,
        request.seed,
    )
    curves = yield from told(steps, lambda done: Progress(done=done, total=1))
    yield GraphJudged(
        kept=pack_float32(curves.kept[0].astype(np.float32)),
        removed=pack_float32(curves.removed[0].astype(np.float32)),
        random_kept=pack_float32(curves.random_kept[0].astype(np.float32)),
        random_removed=pack_float32(curves.random_removed[0].astype(np.float32)),
        gap=float(curves.gap[0]),
    )
