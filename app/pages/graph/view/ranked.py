"""The nodes and edges of a graph by what they carry, and who feeds whom."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.influence import (
    Pruned,
    completeness_score,
    cumulative_share,
    edge_influence,
    influence,
    prune,
    replacement_score,
)

EDGE_SHARE = 0.98
KEPT = 8  # graphs whose figures stay in memory
_kept: LRUCache[str, RankedGraph] = LRUCache(KEPT)
_lock = threading.Lock()


@dataclass(frozen=True)
class Link:
    """An edge as one of its ends sees it.

    Attributes:
        node: the other end.
        weight: of the edge.
        share: of all that the target is made of, in absolute values.
    """

    node: int
    weight: float
    share: float


def ranked_graph(key: str, graph: Graph) -> RankedGraph:
    """The figures of a graph, kept in memory for a while.

    Args:
        key: what it is known by.
        graph: nodes and edges.

    Raises:
        CircuitError: it has a cycle.
    """
    with _lock:
        kept = _kept.get(key)
    if kept is None:
        kept = RankedGraph(graph)
        with _lock:
            _kept[key] = kept
    return kept


class RankedGraph:
    """A graph with the figures that its pages show. Raises CircuitError where it has a cycle.

    Attributes:
        graph: nodes and edges.
        influence: what each node passes on to the targets, its own weight as one included,
            float64 [n].
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        own = np.bincount(graph.targets, graph.target_weights, minlength=len(graph.nodes))
        self.influence = influence(graph) + own

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """For each node the share of all influence that it and all stronger ones carry; 0 for those
        that are never left out: tokens, logits and targets. float64 [n]"""
        shares = cumulative_share(influence(self.graph))
        kind = self.graph.nodes.kind
        shares[(kind == NodeKind.TOKEN) | (kind == NodeKind.LOGIT)] = 0.0
        shares[self.graph.targets] = 0.0
        return shares

    @cached_property
    def edge_influence(self) -> NDArray[np.float64]:
        """What each edge passes on to the targets, float64 [m]."""
        return edge_influence(self.graph)

    @cached_property
    def replacement(self) -> float:
        """The replacement score."""
        return replacement_score(self.graph)

    @cached_property
    def completeness(self) -> float:
        """The completeness score."""
        return completeness_score(self.graph)

    @cached_property
    def _sums(self) -> NDArray[np.float64]:
        """The absolute values of all inputs of each node, float64 [n]."""
        edges = self.graph.edges
        sizes = np.abs(edges.weight, dtype=np.float64)
        return np.bincount(edges.target, sizes, len(self.graph.nodes)).astype(np.float64)

    def pruned(self, share: float) -> Pruned:
        """What is left where the nodes carry a share of all influence."""
        return prune(self.graph, share, EDGE_SHARE)

    def kept(self, share: float) -> NDArray[np.int64]:
        """The nodes that pruning leaves, the strongest first; equal ones in the graph's order."""
        nodes = np.flatnonzero(self.pruned(share).nodes)
        return nodes[np.argsort(-self.influence[nodes], kind="stable")]

    def inputs(self, node: int, most: int) -> list[Link]:
        """What a node is made of, the largest parts first."""
        return self._links(np.flatnonzero(self.graph.edges.target == node), most, inputs=True)

    def outputs(self, node: int, most: int) -> list[Link]:
        """What a node adds to, where it adds most first."""
        return self._links(np.flatnonzero(self.graph.edges.source == node), most, inputs=False)

    def _links(self, edges: NDArray[np.int64], most: int, inputs: bool) -> list[Link]:
        of = self.graph.edges
        best = edges[np.argsort(-np.abs(of.weight[edges]), kind="stable")[:most]]
        ends = of.source if inputs else of.target
        return [
            Link(
                node=int(ends[edge]),
                weight=float(of.weight[edge]),
                share=float(abs(of.weight[edge]) / max(self._sums[of.target[edge]], 1e-10)),
            )
            for edge in best.tolist()
        ]
