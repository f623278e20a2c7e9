"""Groups that a graph's nodes suggest by themselves: for somebody to take, or to leave.

Two features in view belong together where they are the same one at two positions, where people gave
both the same label, or where they are used alike: their edges into the nodes in view, their own
targets included, point in nearly the same direction (cosine at least `ALIKE`), and they lie within
two layers of each other. Features that are used alike are joined only if all pairs of them are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.circuits.graph import Graph, NodeKind

ALIKE = 0.8
MOST = 8  # that are proposed
MOST_LOOKED_AT = 400  # features, the strongest
_LAYERS = 2


@dataclass(frozen=True)
class Proposal:
    """Nodes that may mean one thing.

    Attributes:
        title: what to call them.
        why: what they have in common.
        nodes: their numbers, ascending, at least two.
        influence: of all of them.
    """

    title: str
    why: str
    nodes: tuple[int, ...]
    influence: float


def proposals(
    graph: Graph,
    kept: Sequence[int],
    influence: NDArray[np.float64],
    labels: Mapping[int, str],
    titles: Mapping[int, str],
    taken: frozenset[int],
) -> list[Proposal]:
    """The groups that suggest themselves, those of most influence first.

    Args:
        graph: nodes and edges.
        kept: nodes in view, the strongest first.
        influence: of each node, float64 [n].
        labels: of features that have one.
        titles: what each node of `kept` is.
        taken: nodes that are in a group.
    """
    kind = graph.nodes.kind
    features = [n for n in kept if kind[n] == NodeKind.FEATURE and n not in taken]
    features = features[:MOST_LOOKED_AT]
    free = set(features)
    made: list[tuple[str, list[int]]] = []
    same = {n: (int(graph.nodes.place[n]), int(graph.nodes.index[n])) for n in features}
    for why, keys in (("the same label", labels), ("one feature, at several tokens", same)):
        for nodes in _by(sorted(free), keys):
            made.append((why, nodes))
            free -= set(nodes)
    alike = _used_alike(graph, [n for n in features if n in free], kept)
    made += [("used alike: they add to the same nodes", nodes) for nodes in alike]
    groups = [
        Proposal(
            title=labels.get(max(nodes, key=lambda n: influence[n]))
            or titles[max(nodes, key=lambda n: influence[n])],
            why=why,
            nodes=tuple(sorted(nodes)),
            influence=float(influence[list(nodes)].sum()),
        )
        for why, nodes in made
    ]
    return sorted(groups, key=lambda group: (-group.influence, group.nodes))[:MOST]


def _by(nodes: Sequence[int], keys: Mapping[int, object]) -> list[list[int]]:
    """Nodes that have a key in common; those without one are left out."""
    groups: dict[object, list[int]] = {}
    for node in nodes:
        if node in keys:
            groups.setdefault(keys[node], []).append(node)
    return [group for group in groups.values() if len(group) > 1]


def _used_alike(graph: Graph, features: Sequence[int], kept: Sequence[int]) -> list[list[int]]:
    """Features whose edges into the nodes in view are alike, by complete linkage."""
    if len(features) < 2:
        return []
    place = np.full(len(graph.nodes), -1)
    place[list(features)] = np.arange(len(features))
    column = np.full(len(graph.nodes), -1)
    column[list(kept)] = np.arange(len(kept))
    edges = graph.edges
    there = (place[edges.source] >= 0) & (column[edges.target] >= 0)
    rows = np.zeros((len(features), len(kept)))
    np.add.at(rows, (place[edges.source[there]], column[edges.target[there]]), edges.weight[there])
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.maximum(length, 1e-30)
    layers = graph.nodes.layer[list(features)].astype(np.int64)
    alike = rows @ rows.T >= ALIKE
    alike &= np.abs(layers[:, None] - layers[None, :]) <= _LAYERS
    groups: list[list[int]] = []
    for feature in range(len(features)):  # the strongest first
        home = next((g for g in groups if alike[feature, g].all()), None)
        if home is None:
            groups.append([feature])
        else:
            home.append(feature)
    return [[features[n] for n in group] for group in groups if len(group) > 1]
