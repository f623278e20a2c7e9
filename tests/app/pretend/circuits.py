"""Attribution graphs for tests: small, seeded, with hostile tokens and nodes of every kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

import numpy as np

from app.errors import FeaturescopeError
from app.store.types.graphs import GraphRecord
from app.worker.protocol.arrays import pack_float32, pack_int32
from app.worker.protocol.events import (
    GraphBegan,
    GraphChecked,
    GraphJudged,
    GraphTraced,
    NodeComposed,
    NodeSplit,
    NodesScaled,
    Progress,
    Result,
    ScoreExplained,
)
from app.worker.protocol.paths import (
    ComposeNodeRequest,
    ExplainScoreRequest,
    ScaleNodesRequest,
    SplitNodeRequest,
)
from app.worker.protocol.requests import (
    CheckGraphRequest,
    GraphRequest,
    JudgeGraphRequest,
    WorkRequest,
)
from sae_core.circuits.graph import Edges, Graph, GraphDictionary, NodeKind, Nodes
from sae_core.circuits.packing import pack_graph, unpack_graph

TOKENS = ("<|endoftext|>", " self", "\n", "<script>alert(1)</script>", "\u202egnp.exe", "é世界🙂")
DICTIONARIES = (
    GraphDictionary("mlp-12", "blocks.0.mlp.hook_post", "blocks.0.mlp.hook_post", 12, False),
    GraphDictionary(
        "blocks.1.mlp.hook_post", "blocks.1.mlp.hook_post", "blocks.1.mlp.hook_post", 40, True
    ),
)


def graph(
    n_features: int = 24, seed: int = 0, model: str = "demo", tokens: tuple[str, ...] = TOKENS
) -> Graph:
    """A random layered graph of two layers; each edge leads upwards and never back in the text."""
    random = np.random.default_rng(seed)
    n_pos = len(tokens)
    rows = [(NodeKind.TOKEN, -1, position, position % 6, 1.0, -1) for position in range(n_pos)]
    middle = []
    for number in range(n_features):
        layer = number % 2
        index = int(random.integers(DICTIONARIES[layer].d_sae))
        key = (layer, int(random.integers(1, n_pos)), index)
        if key not in middle:
            middle.append(key)
    features = [
        (NodeKind.FEATURE, layer, position, index, float(random.random()) + 0.1, layer)
        for layer, position, index in middle
    ]
    errors = [
        (NodeKind.ERROR, layer, position, -1, 1.0, layer)
        for layer in range(2)
        for position in range(1, n_pos)
    ]
    rows += sorted(features + errors, key=lambda row: (row[1], row[2], row[3]))
    rows += [(NodeKind.LOGIT, 2, n_pos - 1, 20 + k, p, -1) for k, p in enumerate((0.6, 0.3))]
    kind, layer, position, index, activation, place = zip(*rows, strict=True)
    nodes = Nodes(
        kind=np.array(kind, dtype=np.int8),
        layer=np.array(layer, dtype=np.int16),
        position=np.array(position, dtype=np.int32),
        index=np.array(index, dtype=np.int64),
        activation=np.array(activation, dtype=np.float32),
        place=np.array(place, dtype=np.int8),
    )
    can = (
        (nodes.layer[None, :] < nodes.layer[:, None])
        & (nodes.position[None, :] <= nodes.position[:, None])
        & (nodes.kind[:, None] != NodeKind.ERROR)
    )
    target, source = np.nonzero(can)
    n = len(nodes)
    return Graph(
        model=model,
        tokens=np.arange(n_pos, dtype=np.int64),
        token_strings=tokens,
        dictionaries=DICTIONARIES,
        n_layers=2,
        nodes=nodes,
        edges=Edges(
            source=source.astype(np.int32),
            target=target.astype(np.int32),
            weight=random.normal(size=len(source)).astype(np.float32),
        ),
        targets=np.array([n - 2, n - 1], dtype=np.int32),
        target_weights=np.array([2 / 3, 1 / 3], dtype=np.float32),
        settings={"max_logits": 2},
        left_out={"nodes": 3, "influence": 0.02},
    )


def record(made: Graph, title: str = "self, then what?", question: str = "q" * 64) -> GraphRecord:
    """A graph to be kept in the store of `tests/factories.py`."""
    return GraphRecord(
        graph=made,
        model_checksum="a" * 64,
        checksums=("b" * 64, ""),
        prompt="".join(made.token_strings[1:]),
        question=question,
        source="",
        title=title,
    )


def checked(request: CheckGraphRequest) -> list[Result | Progress]:
    """A worker's answer: the real model does 0.6 of what edges say, and denies every third."""
    part = unpack_graph(request.graph)
    weights = part.edges.weight
    direct = np.where(np.arange(len(weights)) % 3 == 2, -weights, 0.6 * weights)
    sources = np.unique(part.edges.source).astype(np.int32)
    return [
        GraphChecked(
            frozen=pack_float32(weights),
            direct=pack_float32(direct.astype(np.float32)),
            total=pack_float32((weights / 4).astype(np.float32)),
            sources=pack_int32(sources),
            targets=pack_float32(np.full(len(sources), 0.125, np.float32)),
        )
    ]


def judged(request: JudgeGraphRequest) -> list[Result | Progress]:
    """A worker's answer: the more features, the more is left."""
    share = np.arange(1, len(request.sizes) + 1, dtype=np.float32) / len(request.sizes)
    return [
        GraphJudged(
            kept=pack_float32(share),
            removed=pack_float32(share**2),
            random_kept=pack_float32(share / 4),
            random_removed=pack_float32(share / 8),
            gap=1.5,
        )
    ]


def looked(request: CheckGraphRequest) -> Result | None:
    """A worker's answer to what is asked of one node closely; None: something else is asked."""
    made = unpack_graph(request.graph)
    n, heads = len(made.nodes), np.array([0, 0, 1, 1])
    numbers = np.array([0, 1, 0, 1])
    if isinstance(request, SplitNodeRequest):
        shares = np.array([0.5, 0.25, -0.125, 0.0625])
        return NodeSplit(
            names=("direct", "blocks.0.attn", "blocks.0.mlp.hook_post", "final norm"),
            shares=pack_float32(shares),
            alone=pack_float32(shares / 2),
            total=0.6875,
            together=0.6875 / 2,
            layers=pack_int32(heads),
            heads=pack_int32(numbers),
            through=pack_float32(np.array([0.0, 0.125, 0.25, 0.0])),
            straight=0.125,
        )
    if isinstance(request, ComposeNodeRequest):
        return NodeComposed(
            value=3.0,
            straight=pack_float32(np.eye(1, n)[0]),
            rest=0.5,
            constant=0.25,
            layers=pack_int32(heads),
            heads=pack_int32(numbers),
            through=pack_float32(np.full(4 * len(made.tokens), 1.25 / 4 / len(made.tokens))),
            strongest=pack_int32(np.array([2])),
            behind=pack_float32(np.eye(1, n, 3)[0]),
            behind_rest=(0.0,),
            behind_constant=(0.125,),
        )
    if isinstance(request, ExplainScoreRequest):
        return ScoreExplained(
            pattern=pack_float32(np.full(len(made.tokens), 1 / len(made.tokens))),
            score=2.0,
            caveat="It is capped.",
            query=pack_float32(np.eye(1, n + 2)[0] * 2),
            key=pack_float32(np.eye(1, n + 2, n)[0] * 2),
            pairs=pack_int32(np.array([[0, -1], [-2, 1]])),
            weights=pack_float32(np.array([2.0, -0.5])),
        )
    if isinstance(request, ScaleNodesRequest):
        rows = np.array([[5.0, 4.0], [5.0 * request.factor, 4.0], [4.5, 4.0]])
        return NodesScaled(values=pack_float32(rows), probabilities=pack_float32(rows / 10))
    return None


def traced(request: GraphRequest) -> list[Result | Progress]:
    """A worker's events: a graph that follows from the prompt's length."""
    made = graph(seed=len(str(request.prompt)))
    names = [part.name for part in request.dictionaries]
    pairs = zip(DICTIONARIES, (*names, *names)[:2], strict=True)
    made = replace(made, dictionaries=tuple(replace(kind, name=name) for kind, name in pairs))
    tokens = pack_int32(np.arange(len(TOKENS), dtype=np.int32))
    return [
        GraphBegan(tokens=tokens, features=24, memory=48_000_000),
        Progress(done=1, total=2),
        GraphTraced(graph=pack_graph(made)),
    ]


@dataclass
class PretendTracing:
    """A worker that has a graph for every question, or raises.

    Attributes:
        error: what every request meets.
        asked: every request.
    """

    error: FeaturescopeError | None = None
    asked: list[WorkRequest] = field(default_factory=list)

    async def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        """The events of a graph that has the request's own dictionaries."""
        self.asked.append(request)
        if isinstance(request, CheckGraphRequest):
            if (answer := looked(request)) is not None:
                yield answer
                return
            judges = isinstance(request, JudgeGraphRequest)
            for event in judged(request) if judges else checked(request):
                yield event
            return
        assert isinstance(request, GraphRequest)
        for event in traced(request):
            if isinstance(event, Progress) and self.error is not None:
                raise self.error
            yield event

    async def close(self) -> None:
        """Nothing is open."""
