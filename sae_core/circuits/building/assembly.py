"""A graph put together from its rows: nodes and edges in order, and what was left out counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sae_core.circuits.building.ends import Ends
from sae_core.circuits.building.kept_rows import KeptRows
from sae_core.circuits.frozen.rows import Causes
from sae_core.circuits.graph import Edges, Graph, GraphDictionary, NodeKind, Nodes
from sae_core.circuits.settings import GraphSettings


def assembled(
    causes: Causes,
    rows: KeptRows,
    visited: NDArray[np.bool_],
    ends: Ends,
    dictionaries: tuple[GraphDictionary, ...],
    settings: GraphSettings,
) -> Graph:
    """The graph of all rows.

    Args:
        causes: the prompt's.
        rows: of the targets and of the features that were visited.
        visited: which features have rows, bool [n_features].
        ends: the targets.
        dictionaries: by place.
        settings: what decided it.
    """
    model, nodes, tokens = causes.run.model, causes.nodes(), causes.run.tokens[0].cpu()
    reaching = rows.influence()
    kept = nodes.kind != NodeKind.FEATURE
    kept[causes.begins[0] : causes.begins[-1]] = visited
    edges = rows.strongest(kept, reaching, settings.max_edges)
    # Number what is kept: columns in the graph's order, logits behind them.
    columns = np.flatnonzero(kept)
    keys = (nodes.index, nodes.place, nodes.position, nodes.layer)
    columns = columns[np.lexsort(tuple(key[columns] for key in keys))]
    number = np.full(len(causes), -1)
    number[columns] = np.arange(len(columns))
    owners, n_logits = rows.owners(), len(ends.logits)
    of_rows = np.where(owners >= 0, number[np.maximum(owners, 0)], -1)
    of_rows[owners < 0] = len(columns) + np.arange(n_logits)
    source, target = number[edges.source], of_rows[edges.row]
    order = np.lexsort((source, target))
    wanted, total = number[ends.features], float(reaching.sum())
    pieces = model.vocabulary.pieces
    return Graph(
        model=model.name,
        tokens=tokens.numpy().astype(np.int64),
        token_strings=tuple(pieces[token].decode("utf-8", "replace") for token in tokens.tolist()),
        dictionaries=dictionaries,
        n_layers=model.n_layers,
        nodes=_with_logits(nodes, columns, ends, model.n_layers, len(tokens) - 1),
        edges=Edges(
            source[order].astype(np.int32),
            target[order].astype(np.int32),
            edges.weight[order],
        ),
        targets=np.append(len(columns) + np.arange(n_logits), wanted).astype(np.int32),
        target_weights=np.append(
            ends.logit_weights, np.full(len(wanted), 1 / max(1, len(wanted)))
        ).astype(np.float32),
        settings={**settings.as_json(), "edges_per_target": rows.width},
        left_out={
            "features": int((~visited).sum()),
            "influence_of_features": float(reaching[~kept].sum()) / total if total else 0.0,
            "edges": int(rows.n_edges - len(order)),
            "influence_of_edges": max(0.0, 1 - edges.carried / edges.whole) if edges.whole else 0.0,
        },
    )


def _with_logits(
    nodes: Nodes, columns: NDArray[np.int64], ends: Ends, n_layers: int, last: int
) -> Nodes:
    n = len(ends.logits)
    return Nodes(
        np.append(nodes.kind[columns], np.full(n, NodeKind.LOGIT, dtype=np.int8)),
        np.append(nodes.layer[columns], np.full(n, n_layers, dtype=np.int16)),
        np.append(nodes.position[columns], np.full(n, last, dtype=np.int32)),
        np.append(nodes.index[columns], ends.logits.numpy()),
        np.append(nodes.activation[columns], ends.probabilities.astype(np.float32)),
        np.append(nodes.place[columns], np.full(n, -1, dtype=np.int8)),
    )
