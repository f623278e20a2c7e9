"""The jobs behind one node of a graph: its ways, what it is made of, why there, and scaled."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, TypeVar

from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack_float32, pack_int32
from app.worker.protocol.events import (
    Event,
    NodeComposed,
    NodeSplit,
    NodesScaled,
    Progress,
    ScoreExplained,
)
from app.worker.protocol.paths import (
    ComposeNodeRequest,
    ExplainScoreRequest,
    ScaleNodesRequest,
    SplitNodeRequest,
)
from app.worker.protocol.requests import CheckGraphRequest

if TYPE_CHECKING:
    from sae_core.circuits.check import Bench
    from sae_core.circuits.paths.composition import ByNode

Step = TypeVar("Step")
Result = TypeVar("Result")


def split_node(request: SplitNodeRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Let one part after the other answer; a step is a pass, or loading.

    For example /split-node
    with a SplitNodeRequest
    """
    from sae_core.circuits.paths.split import split_steps

    bench = yield from _bench(request, shelf)
    split = yield from told(
        split_steps(bench, request.node, request.target),
        lambda at: Progress(done=at[0], total=at[1]),
    )
    yield NodeSplit(
        names=split.names,
        shares=pack_float32(split.shares),
        alone=pack_float32(split.alone),
        total=split.total,
        together=split.together,
        layers=pack_int32(split.layers),
        heads=pack_int32(split.heads),
        through=pack_float32(split.through),
        straight=split.straight,
    )


def compose_node(request: ComposeNodeRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Sum up what reaches a node; a step is a run, or loading.

    For example /compose-node
    with a ComposeNodeRequest
    """
    import numpy as np

    from sae_core.circuits.paths.composition import composition_steps

    bench = yield from _bench(request, shelf)
    made = yield from told(
        composition_steps(bench, request.node), lambda done: Progress(done=done, total=3)
    )
    behind = [part.nodes for part in made.behind]
    yield NodeComposed(
        value=made.value,
        straight=pack_float32(made.straight.nodes),
        rest=made.straight.rest,
        constant=made.straight.constant,
        layers=pack_int32(made.layers),
        heads=pack_int32(made.heads),
        through=pack_float32(made.through.reshape(-1)),
        strongest=pack_int32(made.strongest),
        behind=pack_float32(np.concatenate(behind) if behind else np.zeros(0)),
        behind_rest=tuple(part.rest for part in made.behind),
        behind_constant=tuple(part.constant for part in made.behind),
    )


def explain_score(request: ExplainScoreRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Split a head's score; a step is a run, one of its two sides, or loading.

    For example /explain-score
    with an ExplainScoreRequest
    """
    from sae_core.circuits.paths.scores import score_steps

    bench = yield from _bench(request, shelf)
    split = yield from told(
        score_steps(bench, request.layer, request.head, request.query, request.key),
        lambda done: Progress(done=done, total=3),
    )
    yield ScoreExplained(
        pattern=pack_float32(split.pattern),
        score=split.score,
        caveat=split.caveat,
        query=_side(split.query),
        key=_side(split.key),
        pairs=pack_int32(split.pairs.reshape(-1)),
        weights=pack_float32(split.weights),
    )


def scale_nodes(request: ScaleNodesRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Scale what features write: one pass; a step is loading.

    For example /scale-nodes
    with a ScaleNodesRequest
    """
    from sae_core.circuits.paths.scaled import scaled_targets

    bench = yield from _bench(request, shelf)
    yield Progress(done=1, total=2)
    scaled = scaled_targets(bench, request.nodes, request.factor, request.draws)
    yield NodesScaled(
        values=pack_float32(scaled.values.reshape(-1)),
        probabilities=pack_float32(scaled.probabilities.reshape(-1)),
    )


def told(
    steps: Generator[Step, None, Result], progress: Callable[[Step], Progress]
) -> Generator[Event, None, Result]:
    """Steps whose progress is told as an event; other people's work goes on in between."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        yield progress(step)


def _bench(request: CheckGraphRequest, shelf: Shelf) -> Generator[Event, None, Bench]:
    from sae_core.circuits.check import Bench
    from sae_core.circuits.packing import unpack_graph

    loaded = yield from shelf.dictionaries(
        request.model, [part.reference for part in request.dictionaries]
    )
    dictionaries = [loaded[part.reference] for part in request.dictionaries]
    graph = unpack_graph(request.graph, "The graph")
    return Bench(shelf.model(request.model), dictionaries, graph)


def _side(side: ByNode) -> bytes:
    import numpy as np

    return pack_float32(np.append(side.nodes, [side.constant, side.rest]))
