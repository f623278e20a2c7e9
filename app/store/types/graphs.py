"""Attribution graphs as they go into the store and come out of it: frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from sae_core.circuits.graph import Graph

LOGIT_STRINGS = "logit_strings"
"""The setting of a graph from elsewhere that spells out the tokens of its logits, by their ids."""


@dataclass(frozen=True)
class GraphRecord:
    """A graph to be kept.

    Attributes:
        graph: nodes and edges; its model's name is part of its address.
        model_checksum: of the model's weights; empty: not known.
        checksums: of each of the graph's dictionaries, empty where it is not known.
        prompt: the text that was read.
        question: SHA-256 of all that decided it; empty: it was read from a file.
        source: where it was read from; empty: it was computed here.
        title: any text of one line.
    """

    graph: Graph
    model_checksum: str
    checksums: tuple[str, ...]
    prompt: str
    question: str
    source: str
    title: str


@dataclass(frozen=True)
class GraphGroup:
    """Nodes of a graph that mean one thing together.

    Attributes:
        id: unique in all stores.
        title: what they mean.
        nodes: numbers of nodes, ascending.
    """

    id: str
    title: str
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class GraphView:
    """A graph without its nodes and edges.

    Attributes:
        id: SHA-256 of it.
        name: part of its address.
        model: name of its model.
        model_checksum: of the model's weights; empty: not known.
        source: where it was read from; empty: it was computed here.
        title: what people call it.
        note: what people say of it.
        prompt: the text that was read.
        n_tokens: of the prompt.
        n_nodes: that are kept.
        n_edges: that are kept.
        targets: whose causes are shown, with the share of each.
        dictionaries: name and checksum of each dictionary, in the graph's order.
        pinned: numbers of nodes that somebody keeps in view, ascending.
        groups: of nodes, by title.
        created: seconds since 1970.
        changed: when title, note or pins last did.
        withdrawn: whether it was put away.
        n_bytes: as packed.
    """

    id: str
    name: str
    model: str
    model_checksum: str
    source: str
    title: str
    note: str
    prompt: str
    n_tokens: int
    n_nodes: int
    n_edges: int
    targets: tuple[tuple[str, float], ...]
    dictionaries: tuple[tuple[str, str], ...]
    pinned: tuple[int, ...]
    groups: tuple[GraphGroup, ...]
    created: float
    changed: float
    withdrawn: bool
    n_bytes: int
