"""What groups of nodes add to each other: a graph's outline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.store.types.graphs import GraphView
from sae_core.circuits.graph import Graph

MOST_FLOWS = 40


@dataclass(frozen=True)
class Flow:
    """The edges from all nodes of one group to all of another, added up.

    Attributes:
        source: title of the one.
        target: title of the other.
        weight: sum of the edges.
    """

    source: str
    target: str
    weight: float


def flows(graph: Graph, view: GraphView, name: Callable[[int], str]) -> list[Flow]:
    """The direct edges between groups, pinned nodes that are in none, and targets, the largest
    first; none where nothing is pinned or grouped.

    Args:
        graph: nodes and edges.
        view: with its groups and pins.
        name: of a node.
    """
    titles = [group.title for group in view.groups]
    member = np.full(len(graph.nodes), -1, dtype=np.int64)
    for number, group in enumerate(view.groups):
        member[list(group.nodes)] = number
    alone = [node for node in view.pinned if member[node] < 0]
    if not (titles or alone):
        return []
    for node in [*alone, *graph.targets.tolist()]:
        if member[node] < 0:
            member[node] = len(titles)
            titles.append(name(node))
    source, target = member[graph.edges.source], member[graph.edges.target]
    between = (source >= 0) & (target >= 0) & (source != target)
    n = len(titles)
    sums = np.bincount(
        source[between] * n + target[between], graph.edges.weight[between], minlength=n * n
    )
    best = np.argsort(-np.abs(sums), kind="stable")[:MOST_FLOWS]
    return [
        Flow(titles[pair // n], titles[pair % n], float(sums[pair]))
        for pair in best.tolist()
        if sums[pair] != 0
    ]
