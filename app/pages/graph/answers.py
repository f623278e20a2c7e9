"""From a graph's page to what the JSON interface answers."""

from __future__ import annotations

import numpy as np

from app.pages.graph import schema as types
from app.pages.graph.view.page import GraphPage
from app.rendering.addresses import dictionary_address, graph_address
from app.store.types.graphs import GraphView
from app.web.schema import floats

MOST_EDGES = 60_000  # of an answer; the picture draws fewer
_DIGITS = 6


def summary(view: GraphView) -> types.GraphSummary:
    """A graph without its nodes and edges."""
    return types.GraphSummary.model_validate(
        {**vars(view), "address": graph_address(view.model, view.name)}
    )


def graph(page: GraphPage) -> types.GraphAnswer:
    """A graph with its nodes and edges."""
    made, ranked = page.graph, page.ranked
    order = np.argsort(-ranked.edge_influence, kind="stable")[:MOST_EDGES]
    return types.GraphAnswer(
        **summary(page.view).model_dump(),
        model_checksum=page.view.model_checksum,
        replacement=round(ranked.replacement, _DIGITS),
        completeness=round(ranked.completeness, _DIGITS),
        n_layers=made.n_layers,
        tokens=page.names.tokens,
        dictionaries=_dictionaries(page),
        targets=made.targets.tolist(),
        target_weights=floats(made.target_weights),
        nodes=_nodes(page),
        edges=types.EdgeColumns(
            source=made.edges.source[order].tolist(),
            target=made.edges.target[order].tolist(),
            weight=floats(made.edges.weight[order]),
        ),
        edges_left=len(made.edges) - len(order),
        settings=dict(made.settings),
        left_out=dict(made.left_out),
    )


def _nodes(page: GraphPage) -> types.NodeColumns:
    nodes, ranked = page.graph.nodes, page.ranked
    return types.NodeColumns(
        kind=nodes.kind.tolist(),
        layer=nodes.layer.tolist(),
        position=nodes.position.tolist(),
        index=nodes.index.tolist(),
        place=nodes.place.tolist(),
        activation=floats(nodes.activation),
        influence=np.round(ranked.influence, _DIGITS).tolist(),
        share=np.round(ranked.shares, _DIGITS).tolist(),
        name=[page.names.name(node) for node in range(len(nodes))],
    )


def _dictionaries(page: GraphPage) -> list[types.GraphPlace]:
    there = zip(page.graph.dictionaries, page.names.dictionaries, strict=True)
    return [
        types.GraphPlace(
            **vars(dictionary),
            address=dictionary_address(view.model, view.name) if view and view.harvest else "",
        )
        for dictionary, view in there
    ]
