"""A graph as Neuronpedia's JSON, schema version 1: features are Cantor pairs of layer and index.

What the format has no place for (dictionaries, targets) stands in `metadata.featurescope`, so that
the very same graph comes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.store.types.graphs import GraphView
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.influence import cumulative_share, influence, prune

OWN = "featurescope"
TYPES = {
    NodeKind.TOKEN: "embedding",
    NodeKind.FEATURE: "cross layer transcoder",
    NodeKind.ERROR: "mlp reconstruction error",
    NodeKind.LOGIT: "logit",
}
_EDGE_SHARE = 0.98
_LINES = 2_000  # links that are written at once


@dataclass(frozen=True)
class _Kept:
    """What is written of a graph: places of nodes, and which edges."""

    nodes: NDArray[np.int64]
    edges: NDArray[np.int64]


def cantor(layer: int, index: int) -> int:
    """The number that stands for a pair of numbers >= 0."""
    return (layer + index) * (layer + index + 1) // 2 + index


def graph_json(
    view: GraphView, graph: Graph, names: Sequence[str], share: float | None = None
) -> Iterator[str]:
    """The text of the file, piece by piece.

    Args:
        view: with pins and groups.
        graph: nodes and edges.
        names: what each node is called: labels of features, empty where there are none.
        share: keep only the nodes that carry this share of all influence, and the edges that
            matter among them; None: everything.
    """
    kept = _kept(graph, share)
    ids = node_ids(graph)
    whole = len(kept.nodes) == len(graph.nodes) and len(kept.edges) == len(graph.edges)
    head = {"metadata": _metadata(view, graph, share, whole), "qParams": _marks(view, ids, kept)}
    yield json.dumps(head)[:-1] + ', "nodes": ['
    shares = cumulative_share(influence(graph))
    yield ",\n".join(
        json.dumps(_node(graph, node, ids[node], names[node], float(shares[node])))
        for node in kept.nodes.tolist()
    )
    yield '], "links": ['
    quoted = [json.dumps(key) for key in ids]
    edges = graph.edges
    for start in range(0, len(kept.edges), _LINES):
        part = kept.edges[start : start + _LINES]
        rows = zip(
            edges.source[part].tolist(),
            edges.target[part].tolist(),
            edges.weight[part],
            strict=True,
        )
        yield (",\n" if start else "") + ",\n".join(
            f'{{"source": {quoted[source]}, "target": {quoted[target]}, "weight": {weight!s}}}'
            for source, target, weight in rows
        )
    yield "]}\n"


def node_ids(graph: Graph) -> list[str]:
    """The id of each node, each once: those of circuit-tracer wherever they are free."""
    nodes, taken, ids = graph.nodes, set(), []
    rows = zip(
        nodes.kind.tolist(),
        nodes.layer.tolist(),
        nodes.index.tolist(),
        nodes.position.tolist(),
        nodes.place.tolist(),
        strict=True,
    )
    wanted = []
    for kind, layer, index, position, place in rows:
        if kind == NodeKind.TOKEN:
            wanted.append((f"E_{index}_{position}", place))
        elif kind == NodeKind.ERROR:
            wanted.append((f"error_{layer}_{position}", place))
        elif kind == NodeKind.LOGIT:
            wanted.append((f"{graph.n_layers + 1}_{index}_{position}", place))
        else:
            wanted.append((f"{layer}_{index}_{position}", place))
    for key, place in wanted:
        free = key if key not in taken else f"{key}_{place}"
        while free in taken:
            free += "+"
        taken.add(free)
        ids.append(free)
    return ids


def _kept(graph: Graph, share: float | None) -> _Kept:
    if share is None:
        return _Kept(np.arange(len(graph.nodes)), np.arange(len(graph.edges)))
    pruned = prune(graph, share, _EDGE_SHARE)
    return _Kept(np.flatnonzero(pruned.nodes), np.flatnonzero(pruned.edges))


def _metadata(view: GraphView, graph: Graph, share: float | None, whole: bool) -> dict[str, Any]:
    from app import __version__

    metadata: dict[str, Any] = {
        "slug": view.name,
        "scan": graph.model,
        "prompt_tokens": list(graph.token_strings),
        "prompt": view.prompt,
        "node_threshold": 0.8 if share is None else share,
        "schema_version": 1,
        "info": {
            "description": view.note,
            "generator": {"name": "Featurescope", "version": __version__},
            "create_time_ms": int(view.created * 1000),
        },
        "generation_settings": dict(graph.settings),
    }
    if share is not None:
        metadata["pruning_settings"] = {"node_threshold": share, "edge_threshold": _EDGE_SHARE}
    metadata[OWN] = {
        "title": view.title,
        "tokens": graph.tokens.tolist(),
        "n_layers": graph.n_layers,
        "dictionaries": [asdict(dictionary) for dictionary in graph.dictionaries],
        "checksums": [checksum for _, checksum in view.dictionaries],
        "model_checksum": view.model_checksum,
        "left_out": dict(graph.left_out),
        **({"targets": _targets(graph)} if whole else {}),
    }
    return metadata


def _targets(graph: Graph) -> list[list[Any]]:
    """Each target by its place among the nodes, with its share."""
    weights = [float(str(weight)) for weight in graph.target_weights]
    return [[node, weight] for node, weight in zip(graph.targets.tolist(), weights, strict=True)]


def _marks(view: GraphView, ids: Sequence[str], kept: _Kept) -> dict[str, Any]:
    there = set(kept.nodes.tolist())
    groups = [(group.title, [n for n in group.nodes if n in there]) for group in view.groups]
    return {
        "pinnedIds": [ids[node] for node in view.pinned if node in there],
        "supernodes": [[title, *(ids[node] for node in nodes)] for title, nodes in groups if nodes],
        "linkType": "both",
        "clickedId": "",
        "sg_pos": "",
    }


def _node(graph: Graph, node: int, key: str, name: str, share: float) -> dict[str, Any]:
    nodes = graph.nodes
    kind, layer = NodeKind(int(nodes.kind[node])), int(nodes.layer[node])
    index, position = int(nodes.index[node]), int(nodes.position[node])
    activation = float(str(nodes.activation[node]))
    made: dict[str, Any] = {
        "node_id": key,
        "feature": index,
        "layer": str(layer),
        "ctx_idx": position,
        "feature_type": TYPES[kind],
        "jsNodeId": f"{layer}_{index}-0",
        "clerp": name,
        "influence": round(share, 6),
        "run_idx": 0,
        "reverse_ctx_idx": len(graph.tokens) - 1 - position,
        "place": int(nodes.place[node]),
    }
    if kind == NodeKind.TOKEN:
        made |= {"layer": "E", "feature": position, "jsNodeId": f"E_{index}-{position}"}
    elif kind == NodeKind.LOGIT:
        top = str(graph.n_layers + 1)
        made |= {"layer": top, "jsNodeId": f"L_{index}-{position}"}
        made |= {"clerp": f'Output "{name}" (p={activation:.3f})'}
        made |= {"token_prob": activation, "is_target_logit": node in graph.targets.tolist()}
    elif kind == NodeKind.ERROR:
        made |= {"feature": -1, "jsNodeId": f"{layer}_{position}-0"}
    else:
        made |= {"feature": cantor(layer, index), "activation": activation}
    return made
