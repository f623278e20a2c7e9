"""One node of a graph, looked at closely in the worker: its ways, what it is made of, why there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest, WorkerUnavailable
from app.pages.graph.view.checks import parts_of
from app.pages.graph.view.page import GraphPage
from app.web.schema import floats
from app.web.site import Site
from app.worker.client.faults import STRANGE
from app.worker.protocol.arrays import unpack_float32, unpack_int32
from app.worker.protocol.events import NodeComposed, NodeSplit, NodesScaled, ScoreExplained
from app.worker.protocol.paths import (
    MOST_SCALED,
    ComposeNodeRequest,
    ExplainScoreRequest,
    ScaleNodesRequest,
    SplitNodeRequest,
)
from app.worker.protocol.requests import CheckGraphRequest
from sae_core.circuits.graph import Edges, Graph, NodeKind
from sae_core.circuits.packing import pack_graph

MOST = 12  # parts of a sum that are listed
Answer = TypeVar("Answer", NodeSplit, NodeComposed, ScoreExplained, NodesScaled)


@dataclass(frozen=True)
class SumPart:
    """A part of a sum.

    Attributes:
        name: what it is.
        weight: how much it adds.
        share: of all parts' absolute values, for a bar.
        node: of the graph; None: it is no node.
        alone: what a way adds where it answers alone; None: that is not asked.
        address: of a closer look at it; empty: there is none.
    """

    name: str
    weight: float
    share: float
    node: int | None = None
    alone: float | None = None
    address: str = ""


@dataclass(frozen=True)
class NodeWays:
    """By which ways a node reaches a target; the shares sum to the total."""

    target: str
    total: float
    together: float
    ways: tuple[SumPart, ...]
    edge: tuple[SumPart, ...]


@dataclass(frozen=True)
class HeadParts:
    """What one head brings, by position and by the nodes behind; its address asks why there."""

    name: str
    total: float
    positions: tuple[SumPart, ...]
    nodes: tuple[SumPart, ...]


@dataclass(frozen=True)
class NodeParts:
    """What a node is made of; the parts sum to the value."""

    value: float
    parts: tuple[SumPart, ...]
    heads: tuple[HeadParts, ...]


@dataclass(frozen=True)
class ScoreParts:
    """Why a head looks where it looks."""

    name: str
    query: str
    key: str
    score: float
    caveat: str
    pattern: tuple[SumPart, ...]
    asks: tuple[SumPart, ...]
    answers: tuple[SumPart, ...]
    pairs: tuple[SumPart, ...]


@dataclass(frozen=True)
class ScaledTarget:
    """A target where features write more or less, beside like features so scaled (their mean)."""

    name: str
    before: float
    after: float
    random: float | None
    probability_before: float | None
    probability_after: float | None
    probability_random: float | None


def node_ways(site: Site, page: GraphPage, target: int | None = None) -> NodeWays:
    """By which ways the chosen node reaches a target; None: the graph's first.

    Raises:
        InvalidRequest: it has no effect on that, or the store no longer has what the graph is of.
        WorkerUnavailable: the worker cannot be reached.
    """
    node = _chosen(page)
    if page.graph.nodes.kind[node] == NodeKind.LOGIT:
        raise InvalidRequest("A logit has no effect on anything: choose a node below.", "node")
    target = int(page.graph.targets[0]) if target is None else target
    if target >= len(page.graph.nodes):
        raise InvalidRequest(f"The graph has no node {target}.", "target")
    request = SplitNodeRequest(**_asked(site, page), node=node, target=target)
    answer = _answer(site, request, NodeSplit)
    shares, alone = (unpack_float32(part) for part in (answer.shares, answer.alone))
    ways = _shares([_way(name) for name in answer.names], shares, most=len(shares))
    ways = tuple(replace(way, alone=value) for way, value in zip(ways, floats(alone), strict=True))
    names = _heads(answer.layers, answer.heads)
    through = np.append(unpack_float32(answer.through), np.float32(answer.straight))
    titles = [*(f"head {name}" for name in names), "straight along the stream"]
    edge = _shares(titles, through)
    return NodeWays(_target(page, target), answer.total, answer.together, ways, edge)


def node_parts(site: Site, page: GraphPage) -> NodeParts:
    """What the chosen node is made of.

    Raises:
        InvalidRequest: it is made of nothing, or the store no longer has what the graph is of.
        WorkerUnavailable: the worker cannot be reached.
    """
    node = _chosen(page)
    if page.graph.nodes.kind[node] not in (NodeKind.FEATURE, NodeKind.LOGIT):
        raise InvalidRequest("Only features and logits are made of something.", "node")
    answer = _answer(site, ComposeNodeRequest(**_asked(site, page), node=node), NodeComposed)
    n, n_pos = len(page.graph.nodes), len(page.graph.tokens)
    names = _heads(answer.layers, answer.heads)
    try:
        through = unpack_float32(answer.through).reshape(len(names), n_pos)
        behind = unpack_float32(answer.behind).reshape(-1, n)
        straight = unpack_float32(answer.straight).reshape(n)
    except ValueError as error:
        raise WorkerUnavailable(STRANGE) from error
    sums = through.sum(axis=1)
    rest = ["biases", "nodes that were not kept"]
    weights = np.concatenate([straight, sums, [answer.constant, answer.rest]])
    titles = [*_names(page), *(f"head {name}" for name in names), *rest]
    parts = _shares(titles, weights, nodes=n)
    heads = []
    for row, head in enumerate(unpack_int32(answer.strongest).tolist()):
        places = [page.names.tokens[k] + f" ({k})" for k in range(n_pos)]
        own = np.append(behind[row], [answer.behind_constant[row], answer.behind_rest[row]])
        layer, _, number = names[head].partition(".")
        looks = {
            k: page.query.looking("score", head=f"{layer}.{number}", key=k).address(page.view)
            for k in range(n_pos)
        }
        positions = _shares(places, through[head], most=6, addresses=looks)
        heads.append(
            HeadParts(
                names[head],
                float(sums[head]),
                positions,
                _shares([*_names(page), *rest], own, most=6, nodes=n),
            )
        )
    return NodeParts(answer.value, parts, tuple(heads))


def score_parts(site: Site, page: GraphPage, head: str, key: int) -> ScoreParts:
    """Why a head looks from the chosen node's position to another.

    Raises:
        InvalidRequest: there is no such head or position, or its scores cannot be split.
        WorkerUnavailable: the worker cannot be reached.
    """
    query = int(page.graph.nodes.position[_chosen(page)])
    layer, _, number = head.partition(".")
    if not (layer.isdecimal() and number.isdecimal() and len(head) < 12):
        raise InvalidRequest(f"{head!r:.40} names no head: write layer.head.", "head")
    if key > query:
        raise InvalidRequest(f"Heads look back: choose a position up to {query}.", "key")
    request = ExplainScoreRequest(
        **_asked(site, page), layer=int(layer), head=int(number), query=query, key=key
    )
    answer = _answer(site, request, ScoreExplained)
    n, tokens = len(page.graph.nodes), page.names.tokens
    names = [*_names(page), "biases", "nodes that were not kept"]
    own, other = (unpack_float32(side) for side in (answer.query, answer.key))
    pattern = unpack_float32(answer.pattern)
    pairs = unpack_int32(answer.pairs).reshape(-1, 2).tolist()
    if len(own) != n + 2 or len(other) != n + 2 or len(pattern) != len(tokens):
        raise WorkerUnavailable(STRANGE)
    titles = [f"{_of(names, n, a)} × {_of(names, n, b)}" for a, b in pairs]
    return ScoreParts(
        name=head,
        query=f"{tokens[query]} ({query})",
        key=f"{tokens[key]} ({key})",
        score=answer.score,
        caveat=answer.caveat,
        pattern=_shares([f"{token} ({k})" for k, token in enumerate(tokens)], pattern, most=8),
        asks=_shares(names, own, most=8, nodes=n),
        answers=_shares(names, other, most=8, nodes=n),
        pairs=_pairs(titles, unpack_float32(answer.weights), answer.score),
    )


def _pairs(titles: list[str], weights: NDArray[np.float32], score: float) -> tuple[SumPart, ...]:
    """The strongest pairs, and what all others add to the score."""
    shares = _shares(titles[:MOST], weights[:MOST], most=len(titles[:MOST]))
    left = score - sum(pair.weight for pair in shares)
    size = max([abs(pair.weight) for pair in shares], default=1.0) or 1.0
    return (*shares, SumPart("all other pairs", left, min(1.0, abs(left) / size)))


def scaled(
    site: Site, page: GraphPage, nodes: tuple[int, ...], factor: float
) -> tuple[ScaledTarget, ...]:
    """The graph's targets where some of its features write so many times what they do.

    Raises:
        InvalidRequest: one is no feature, or the store no longer has what the graph is of.
        WorkerUnavailable: the worker cannot be reached.
    """
    kinds = page.graph.nodes.kind
    if not nodes or any(n >= len(kinds) or kinds[n] != NodeKind.FEATURE for n in nodes):
        raise InvalidRequest("Only features of the graph can write more or less.", "nodes")
    if len(nodes) > MOST_SCALED:
        raise InvalidRequest(f"At most {MOST_SCALED:,} features are scaled at once.", "nodes")
    request = ScaleNodesRequest(**_asked(site, page), nodes=nodes, factor=factor)
    answer = _answer(site, request, NodesScaled)
    targets = page.graph.targets.tolist()
    try:
        values = unpack_float32(answer.values).reshape(-1, len(targets))
        shares = unpack_float32(answer.probabilities).reshape(-1, len(targets))
        return tuple(
            ScaledTarget(
                _target(page, target),
                *_three(values[:, n]),
                *(_three(shares[:, n]) if np.isfinite(shares[0, n]) else (None, None, None)),
            )
            for n, target in enumerate(targets)
        )
    except (ValueError, IndexError) as error:
        raise WorkerUnavailable(STRANGE) from error


def scaled_nodes(page: GraphPage) -> tuple[int, ...]:
    """The features that the page's address scales: a group's, or the chosen one."""
    kinds = page.graph.nodes.kind
    nodes: tuple[int, ...] = () if page.query.node is None else (page.query.node,)
    if page.query.group:
        groups = [group for group in page.view.groups if group.id == page.query.group]
        nodes = groups[0].nodes if groups else ()
    return tuple(node for node in nodes if kinds[node] == NodeKind.FEATURE)


def _three(column: NDArray[np.float32]) -> Any:
    """Before, after, and the mean of the random sets, if there are any."""
    mean = float(column[2:].mean()) if len(column) > 2 else None
    return float(column[0]), float(column[1]), mean


def _asked(site: Site, page: GraphPage) -> dict[str, Any]:
    return {**parts_of(site, page), "graph": pack_graph(bare(page.graph))}


def bare(graph: Graph) -> Graph:
    """A graph without its edges, which is all that the worker needs to find its nodes."""
    none = np.zeros(0, dtype=np.int32)
    return replace(graph, edges=Edges(none, none, none.astype(np.float32)))


def _target(page: GraphPage, target: int) -> str:
    """What a target is, without how likely it was."""
    is_logit = page.graph.nodes.kind[target] == NodeKind.LOGIT
    return page.names.output(target) if is_logit else page.names.name(target)


def _chosen(page: GraphPage) -> int:
    if page.query.node is None:
        raise InvalidRequest("Choose a node first.", "node")
    return page.query.node


def _answer(site: Site, request: CheckGraphRequest, kind: type[Answer]) -> Answer:
    for event in site.waiters.all(site.live, request):
        if isinstance(event, kind):
            return event
    raise WorkerUnavailable(STRANGE)


def _names(page: GraphPage) -> list[str]:
    where = page.names.where
    return [f"{page.names.name(node)} on {where(node)}" for node in range(len(page.graph.nodes))]


def _of(names: list[str], n: int, node: int) -> str:
    """The name of a node; -1 stands for biases, -2 for what was not kept."""
    return names[node] if node >= 0 else names[n - node - 1]


def _heads(layers: bytes, heads: bytes) -> list[str]:
    pairs = zip(unpack_int32(layers).tolist(), unpack_int32(heads).tolist(), strict=True)
    return [f"{layer}.{head}" for layer, head in pairs]


def _way(name: str) -> str:
    """A way in words."""
    if name == "direct":
        return "direct, all else held"
    if not name.startswith("blocks."):
        return name
    layer, _, part = name.removeprefix("blocks.").partition(".")
    if part == "attn":
        return f"attention and norms of layer {layer}"
    return f"what is written in layer {layer} ({part.rpartition('hook_')[2]})"


def _shares(
    names: list[str],
    weights: NDArray[Any],
    most: int = MOST,
    nodes: int = 0,
    addresses: dict[int, str] | None = None,
) -> tuple[SumPart, ...]:
    """The largest parts of a sum, and what is left of it as one; all, if `most` are enough."""
    size = float(np.abs(weights).max(initial=0.0)) or 1.0
    if most >= len(weights) and len(weights) == len(names):
        order = list(range(len(weights)))
        if most > len(weights):
            order.sort(key=lambda n: -abs(weights[n]))
    else:
        order = np.argsort(-np.abs(weights), kind="stable")[:most].tolist()
    shares = [
        SumPart(
            names[n],
            float(weights[n]),
            float(abs(weights[n])) / size,
            n if n < nodes else None,
            address=(addresses or {}).get(n, ""),
        )
        for n in order
        if weights[n] != 0 or most == len(weights)
    ]
    left = float(weights.sum()) - sum(part.weight for part in shares)
    if len(order) < len(weights) and abs(left) > 1e-5 * size:
        shares.append(SumPart("all others", left, abs(left) / max(size, abs(left))))
    return tuple(shares)
