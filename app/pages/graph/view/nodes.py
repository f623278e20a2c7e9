"""What the nodes of a graph are called, and where more is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np

from app.rendering.addresses import dictionary_address
from app.rendering.numbers import percent
from app.rendering.tokens import printable, visible
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.types.graphs import LOGIT_STRINGS, GraphView
from sae_core.circuits.graph import Graph, GraphDictionary, NodeKind

KINDS = {
    NodeKind.TOKEN: "token",
    NodeKind.FEATURE: "feature",
    NodeKind.ERROR: "error",
    NodeKind.LOGIT: "logit",
}


class NodeNames:
    """Names and links of nodes.

    Args:
        store: where labels are.
        view: the graph.
        graph: its nodes and edges.
        dictionaries: of the graph's model in the store, by name.
        spelling: what a token of the model's vocabulary looks like; None: it is not known here.
    """

    def __init__(
        self,
        store: Store,
        view: GraphView,
        graph: Graph,
        dictionaries: Mapping[str, DictionaryView],
        spelling: Callable[[int], str] | None = None,
    ) -> None:
        self._store = store
        self.graph = graph
        self._spelling = spelling
        self.tokens = [_visible(text) for text in graph.token_strings]
        self.dictionaries = [
            _known(dictionaries.get(name), checksum) for name, checksum in view.dictionaries
        ]

    @cached_property
    def labels(self) -> dict[int, str]:
        """The labels of features that have one, by node."""
        nodes, labels = self.graph.nodes, {}
        for place, view in enumerate(self.dictionaries):
            if view is None:
                continue
            here = np.flatnonzero((nodes.kind == NodeKind.FEATURE) & (nodes.place == place))
            indices = nodes.index[here]
            texts = self._store.labels.texts(view, indices.tolist())
            for node, index in zip(here.tolist(), indices.tolist(), strict=True):
                if texts.get(index):
                    labels[node] = printable(texts[index])
        return labels

    def kind(self, node: int) -> str:
        """token, feature, neuron, error or logit."""
        kind = KINDS[NodeKind(int(self.graph.nodes.kind[node]))]
        return "neuron" if kind == "feature" and self.dictionary(node).is_neurons else kind

    def dictionary(self, node: int) -> GraphDictionary:
        """That a feature or error belongs to."""
        return self.graph.dictionaries[int(self.graph.nodes.place[node])]

    def known(self, node: int) -> DictionaryView | None:
        """The dictionary of a feature in the store; None: it is not there, or not a feature."""
        nodes = self.graph.nodes
        return (
            self.dictionaries[int(nodes.place[node])]
            if nodes.kind[node] == NodeKind.FEATURE and nodes.place[node] >= 0
            else None
        )

    def address(self, node: int) -> str:
        """Of the feature's page; empty: there is none."""
        view = self.known(node)
        if view is None or view.harvest is None:
            return ""
        return dictionary_address(view.model, view.name, int(self.graph.nodes.index[node]))

    def where(self, node: int) -> str:
        """The token that a node lies on, with its position; of a token the position."""
        position = int(self.graph.nodes.position[node])
        if self.graph.nodes.kind[node] == NodeKind.TOKEN:
            return f"position {position}"
        return f"{self.tokens[position]} ({position})"

    def title(self, node: int) -> str:
        """What a node is, without where it is and without its label."""
        nodes, kind = self.graph.nodes, self.kind(node)
        index = int(nodes.index[node])
        if kind == "token":
            return f"token {self.tokens[int(nodes.position[node])]}"
        if kind == "logit":
            return f"{self.output(node)} {percent(float(nodes.activation[node]))}"
        if kind == "error":
            known = self.dictionary(node) if nodes.place[node] >= 0 else None
            name = "MLP" if known is None or known.is_neurons else printable(known.name)
            return f"error of {name}, layer {int(nodes.layer[node])}"
        name = printable(self.dictionary(node).name)
        bare = name == self.dictionary(node).hook_point and kind == "neuron"
        return f"neuron L{int(nodes.layer[node])}/{index}" if bare else f"{name} {index}"

    def name(self, node: int) -> str:
        """The same with a label in its place where there is one."""
        return self.labels.get(node) or self.title(node)

    def output(self, node: int) -> str:
        """The token that a logit is of."""
        index = int(self.graph.nodes.index[node])
        if (written := self._written.get(str(index))) is not None:
            return _visible(str(written))
        return self._spelling(index) if self._spelling else f"token {index}"

    def written(self) -> list[str]:
        """What files call each node: logits by their tokens, features by their labels, the others
        not at all."""
        return [
            self.output(node) if kind == NodeKind.LOGIT else self.labels.get(node, "")
            for node, kind in enumerate(self.graph.nodes.kind.tolist())
        ]

    @cached_property
    def _written(self) -> Mapping[str, object]:
        """The tokens of logits that came with the graph, by their ids."""
        written = self.graph.settings.get(LOGIT_STRINGS)
        return written if isinstance(written, Mapping) else {}


def _visible(text: str) -> str:
    """A token as plain text in which nothing is invisible."""
    return visible(text.encode("utf-8", "surrogatepass"))


def _known(view: DictionaryView | None, checksum: str) -> DictionaryView | None:
    """The dictionary of that name, if it is the very one that the graph was made with."""
    if view is None or (checksum and view.checksum != checksum):
        return None
    return view
