"""How much of a graph's targets each node and edge carries, and which of them matter.

With A[t, s] the edge from s to t, each row divided by the sum of its absolute values, and w the
weights of the targets,

    influence = w (A' + A'^2 + ...),    A' = |A| / row sums:

what reaches a node along all paths, each edge taking its share of what its target has. An edge's
influence is A'[t, s] times what its target has, its own weight as a target included. Pruning keeps
the fewest nodes that carry a share of all influence, then among them the fewest edges, and leaves
out what is then a dead end. Formulas: Ameisen et al. 2025, as circuit-tracer's `graph.py` has them.

Only numpy, and linear in the number of edges: each node is looked at once, after all that it feeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.circuits.graph import Graph, NodeKind
from sae_core.errors import CircuitError

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

_DEEPEST = 4096  # nodes on a path; far more than any model has places


@dataclass(frozen=True)
class Pruned:
    """What pruning leaves.

    Attributes:
        nodes: which are kept, bool [n].
        edges: which are kept, bool [m]; both ends of each are kept.
        cumulative: for each node the share of all influence that it and all stronger ones carry,
            float64 [n].
    """

    nodes: Mask
    edges: Mask
    cumulative: Numbers


def influence(graph: Graph) -> Numbers:
    """What each node passes on to the targets, float64 [n]; a target's own weight not included.

    Raises:
        CircuitError: the graph has a cycle, or is deeper than any model's.
    """
    return _influence(graph, np.ones(len(graph.edges), dtype=bool))[0]


def edge_influence(graph: Graph) -> Numbers:
    """What each edge passes on to the targets, float64 [m].

    Raises:
        CircuitError: as `influence`.
    """
    return _influence(graph, np.ones(len(graph.edges), dtype=bool))[1]


def prune(graph: Graph, node_share: float = 0.8, edge_share: float = 0.98) -> Pruned:
    """The nodes and edges that carry most.

    Args:
        graph: all of it.
        node_share: of all influence, that the kept nodes carry; tokens, logits and targets stay.
        edge_share: of the influence among those, that the kept edges carry.

    Raises:
        CircuitError: a share is not between 0 and 1; or as `influence`.
    """
    for name, share in (("nodes", node_share), ("edges", edge_share)):
        if not 0 <= share <= 1:
            raise CircuitError(f"The share of {name} to be kept is {share}: give 0 to 1.")
    everything = np.ones(len(graph.edges), dtype=bool)
    strength, _ = _influence(graph, everything)
    source, target, kind = graph.edges.source, graph.edges.target, graph.nodes.kind
    fixed = (kind == NodeKind.TOKEN) | (kind == NodeKind.LOGIT)
    fixed[graph.targets] = True
    nodes = fixed | (strength >= _threshold(strength, node_share))
    inside = nodes[source] & nodes[target]
    _, carried = _influence(graph, inside)
    edges = inside & (carried >= _threshold(carried, edge_share))
    features = kind == NodeKind.FEATURE
    while True:
        feeds, is_fed = np.zeros_like(nodes), np.zeros_like(nodes)
        feeds[source[edges]] = True
        is_fed[target[edges]] = True
        left = nodes & (fixed | (feeds & (is_fed | ~features)))
        if (left == nodes).all():
            break
        nodes = left
        edges &= nodes[source] & nodes[target]
    return Pruned(nodes, edges, cumulative_share(strength))


def replacement_score(graph: Graph) -> float:
    """Of what reaches tokens and errors, the share that reaches tokens; 1: no error matters.

    Raises:
        CircuitError: as `influence`.
    """
    strength, kind = influence(graph), graph.nodes.kind
    tokens = float(strength[kind == NodeKind.TOKEN].sum())
    errors = float(strength[kind == NodeKind.ERROR].sum())
    return tokens / (tokens + errors) if tokens + errors else 0.0


def completeness_score(graph: Graph) -> float:
    """The share of nodes' inputs that are no errors, each node weighted by its influence.

    Raises:
        CircuitError: as `influence`.
    """
    edges, kind = graph.edges, graph.nodes.kind
    shares = _shares(graph, np.ones(len(edges), dtype=bool))
    of_errors = kind[edges.source] == NodeKind.ERROR
    wrong = np.bincount(edges.target[of_errors], shares[of_errors], minlength=len(kind))
    strength = influence(graph) + _weights(graph)
    total = float(strength.sum())
    return float(((1 - wrong) * strength).sum()) / total if total else 0.0


def cumulative_share(strength: Numbers) -> Numbers:
    """For each entry of [n] >= 0 the share of all that it and the larger ones make up."""
    order = np.argsort(-strength, kind="stable")
    total = strength.sum()
    shares = np.zeros_like(strength)
    shares[order] = np.cumsum(strength[order]) / total if total else 0.0
    return shares


def predicted_effects(graph: Graph) -> Numbers:
    """What the targets, weighted, owe each node along all paths of the graph, float64 [n].

    A feature in between that loses a share of its activation takes that share of all that it adds.
    """
    nodes, edges = graph.nodes, graph.edges
    effects = np.zeros(len(nodes))
    own = np.bincount(graph.targets, graph.target_weights, minlength=len(nodes))
    per_unit = np.where(nodes.kind == NodeKind.FEATURE, nodes.activation.astype(np.float64), np.inf)
    per_unit = np.where(per_unit == 0, np.inf, per_unit)
    for some in top_down(graph):
        target = edges.target[some]
        gain = own[target] + effects[target] / per_unit[target]
        np.add.at(effects, edges.source[some], gain * edges.weight[some])
    return effects


def _threshold(strength: Numbers, share: float) -> float:
    """The least of the largest entries that make up a share of all."""
    ordered = np.sort(strength)[::-1]
    total = ordered.sum()
    if not total:
        return np.inf
    place = int(np.searchsorted(np.cumsum(ordered) / total, share))
    return float(ordered[min(place, len(ordered) - 1)])


def _weights(graph: Graph) -> Numbers:
    """How much each node counts as a target, float64 [n]."""
    weights = np.zeros(len(graph.nodes))
    np.add.at(weights, graph.targets, graph.target_weights)
    return weights


def _shares(graph: Graph, kept: Mask) -> Numbers:
    """Each edge's share of all that its target is made of, among the kept edges, float64 [m]."""
    size = np.where(kept, np.abs(graph.edges.weight, dtype=np.float64), 0.0)
    sums = np.bincount(graph.edges.target, size, minlength=len(graph.nodes))
    return size / np.maximum(sums, 1e-10)[graph.edges.target]


def _influence(graph: Graph, kept: Mask) -> tuple[Numbers, Numbers]:
    """Influence of nodes [n] and of edges [m] where only some edges are there."""
    source, shares = graph.edges.source, _shares(graph, kept)
    own = _weights(graph)
    reaching, carried = np.zeros(len(graph.nodes)), np.zeros(len(source))
    for edges in top_down(graph):
        target = graph.edges.target[edges]
        carried[edges] = shares[edges] * (reaching[target] + own[target])
        np.add.at(reaching, source[edges], carried[edges])
    return reaching, carried


def top_down(graph: Graph) -> Iterator[NDArray[np.int64]]:
    """All edges in groups of indices, each behind those that leave its targets.

    Raises:
        CircuitError: there is no such order, or it has more groups than any model has places.
    """
    n, source, target = len(graph.nodes), graph.edges.source, graph.edges.target
    order = np.argsort(target, kind="stable")
    begin = np.searchsorted(target[order], np.arange(n + 1))
    waiting = np.bincount(source, minlength=n)
    ready = np.flatnonzero(waiting == 0)
    seen, groups = 0, 0
    while len(ready):
        seen, groups = seen + len(ready), groups + 1
        if groups > _DEEPEST:
            raise CircuitError(
                f"The graph has paths of more than {_DEEPEST} nodes: no attribution graph is so "
                "deep."
            )
        counts = begin[ready + 1] - begin[ready]
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        edges = order[np.repeat(begin[ready], counts) + steps]
        yield edges
        np.subtract.at(waiting, source[edges], 1)
        below = np.unique(source[edges])
        ready = below[waiting[below] == 0]
    if seen < n:
        raise CircuitError(
            "The graph has a cycle: in an attribution graph nothing causes itself, and every edge "
            "leads from an earlier place of the model to a later one."
        )
