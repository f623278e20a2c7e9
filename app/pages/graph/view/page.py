"""A graph as its page shows it: figures, the table of nodes, and the chosen one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from app.errors import InvalidRequest, NotFound
from app.pages.graph.query import GraphQuery
from app.pages.graph.view.flows import Flow, flows
from app.pages.graph.view.nodes import NodeNames
from app.pages.graph.view.proposals import Proposal, proposals
from app.pages.graph.view.ranked import Link, ranked_graph
from app.rendering.addresses import graph_address, model_page_address
from app.rendering.numbers import moment
from app.rendering.tokens import Typeset, printable
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.store.types.graphs import GraphGroup, GraphView
from app.store.written.graphs.graphs import LONGEST_TITLE
from app.store.written.texts import LONGEST_NOTE
from app.web.site import Site
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.errors import CircuitError

PER_PAGE = 25
SHOWN = 6  # nodes of a group that is proposed
LINKS = 12  # strongest inputs and outputs of the chosen node
_LONGEST_FACT = 300  # characters


@dataclass(frozen=True)
class LinkLine:
    """An input or output of the chosen node.

    Attributes:
        node: number of the other end.
        title: what it is.
        label: of the feature; empty: none.
        where: token and position.
        link: weight and share.
        address: of the page with that node chosen.
    """

    node: int
    title: str
    label: str
    where: str
    link: Link
    address: str


@dataclass(frozen=True)
class NodeLine:
    """A node in the table, or the chosen one.

    Attributes:
        node: its number.
        kind: token, feature, neuron, error or logit.
        title: what it is.
        label: of the feature; empty: none.
        where: token and position.
        layer: of its block.
        activation: of a feature, in model units; else its probability or 1.
        influence: what it passes on to the targets, as a share.
        address: of the page with it chosen.
        feature: address of the feature's page; empty: there is none.
        pinned: whether somebody keeps it in view.
        group: that it is in; None: none.
        inputs: what it is made of; only of the chosen one.
        outputs: what it adds to; only of the chosen one.
        row: what the store knows of the feature; only of the chosen one.
        steer: address of the steering page with the feature; empty: there is none.
    """

    node: int
    kind: str
    title: str
    label: str
    where: str
    layer: int
    activation: float
    influence: float
    address: str
    feature: str
    pinned: bool
    group: GraphGroup | None
    inputs: tuple[LinkLine, ...] = ()
    outputs: tuple[LinkLine, ...] = ()
    row: FeatureRow | None = None
    steer: str = ""


class GraphPage:
    """A state of a graph's page.

    Args:
        store: where everything is read.
        view: the graph.
        query: what is asked for.
        dictionaries: of its model in the store, by name.
        spelling: what a token of the model's vocabulary looks like; None: it is not known.
        problem: why what was sent could not be kept; empty: it was.

    Attributes:
        is_here: whether the store has the very model.

    Raises:
        StoreError: the graph is damaged.
        InvalidRequest: it has a cycle.
    """

    longest_title = LONGEST_TITLE
    longest_note = LONGEST_NOTE

    def __init__(
        self,
        store: Store,
        view: GraphView,
        query: GraphQuery,
        dictionaries: dict[str, DictionaryView],
        spelling: Callable[[int], str] | None = None,
        problem: str = "",
    ) -> None:
        self._store = store
        self.view = view
        self.query = query
        self.problem = problem
        self.is_here = spelling is not None
        self.graph: Graph = store.graphs.contents(view)
        self.names = NodeNames(store, view, self.graph, dictionaries, spelling)
        try:
            self.ranked = ranked_graph(view.id, self.graph)
        except CircuitError as error:
            raise InvalidRequest(str(error)) from error
        if query.node is not None and query.node >= len(self.graph.nodes):
            raise NotFound(
                f"The graph {view.name} has nodes 0 to {len(self.graph.nodes) - 1}; there is no "
                f"node {query.node}."
            )
        self._groups = {node: group for group in view.groups for node in group.nodes}

    @property
    def address(self) -> str:
        """Of the graph, whatever is shown of it."""
        return graph_address(self.view.model, self.view.name)

    @property
    def when(self) -> str:
        """It was made."""
        return moment(self.view.created)

    @property
    def units(self) -> str:
        """What its nodes in the middle are: features, neurons, or both."""
        kinds = {dictionary.is_neurons for dictionary in self.graph.dictionaries}
        return {(True,): "neuron", (False, True): "feature or neuron"}.get(
            tuple(sorted(kinds)), "feature"
        )

    @property
    def steer(self) -> str:
        """The steering page of the model."""
        return model_page_address(self.view.model, "steer")

    @cached_property
    def kept(self) -> list[int]:
        """All nodes in view, the strongest first."""
        kept: list[int] = self.ranked.kept(self.query.share).tolist()
        return kept

    @property
    def pages(self) -> int:
        """Of the table."""
        return max(1, -(-len(self.kept) // PER_PAGE))

    @cached_property
    def lines(self) -> list[NodeLine]:
        """The table's page.

        Raises:
            NotFound: there are fewer pages.
        """
        if self.query.page > self.pages:
            raise NotFound(f"There is no page {self.query.page}: the last one is {self.pages}.")
        start = (self.query.page - 1) * PER_PAGE
        return [self.line(node) for node in self.kept[start : start + PER_PAGE]]

    @property
    def targets(self) -> list[tuple[NodeLine, float]]:
        """What is explained, with the share of each."""
        weights = self.graph.target_weights.tolist()
        pairs = zip(self.graph.targets.tolist(), weights, strict=True)
        return [(self.line(node), weight) for node, weight in pairs]

    @property
    def pinned(self) -> list[NodeLine]:
        """The nodes that somebody keeps in view."""
        return [self.line(node) for node in self.view.pinned]

    @property
    def groups(self) -> list[tuple[GraphGroup, list[NodeLine]]]:
        """The groups with their nodes."""
        return [(group, [self.line(node) for node in group.nodes]) for group in self.view.groups]

    @property
    def group_nodes(self) -> list[dict[str, object]]:
        """Title and nodes of each group, for the picture."""
        return [
            {"title": printable(group.title), "nodes": list(group.nodes)}
            for group in self.view.groups
        ]

    def features_of(self, group: GraphGroup) -> list[int]:
        """The nodes of a group that can write more or less."""
        kinds = self.graph.nodes.kind
        return [node for node in group.nodes if kinds[node] == NodeKind.FEATURE]

    @property
    def settings(self) -> list[tuple[str, str]]:
        """All that decided what the graph is, in words."""
        return _words(self.graph.settings)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """What was never kept, in words."""
        return _words(self.graph.left_out)

    @cached_property
    def flows(self) -> list[Flow]:
        """What the groups, the ungrouped pins and the targets add to each other."""
        return flows(self.graph, self.view, self.names.name)

    @cached_property
    def proposals(self) -> list[tuple[Proposal, list[NodeLine]]]:
        """Groups that suggest themselves, with their nodes."""
        made = proposals(
            self.graph,
            self.kept,
            self.ranked.influence,
            self.names.labels,
            {node: self.names.title(node) for node in self.kept},
            frozenset(self._groups),
        )
        return [(group, [self.line(node) for node in group.nodes[:SHOWN]]) for group in made]

    @cached_property
    def chosen(self) -> NodeLine | None:
        """The chosen node with what it is made of and what it adds to; None: none is chosen."""
        node = self.query.node
        return None if node is None else self.line(node, whole=True)

    def line(self, node: int, whole: bool = False) -> NodeLine:
        """A node; `whole`: with its inputs, outputs and feature."""
        nodes, names = self.graph.nodes, self.names
        row = self._row(node) if whole else None
        feature = names.address(node)
        return NodeLine(
            node=node,
            kind=names.kind(node),
            title=names.title(node),
            label=names.labels.get(node, ""),
            where=names.where(node),
            layer=int(nodes.layer[node]),
            activation=float(nodes.activation[node]),
            influence=float(self.ranked.influence[node]),
            address=self.query.at(node).address(self.view),
            feature=feature,
            pinned=node in self.view.pinned,
            group=self._groups.get(node),
            inputs=self._lines(self.ranked.inputs(node, LINKS)) if whole else (),
            outputs=self._lines(self.ranked.outputs(node, LINKS)) if whole else (),
            row=row,
            steer=self._steer(node) if row else "",
        )

    def _lines(self, links: list[Link]) -> tuple[LinkLine, ...]:
        return tuple(
            LinkLine(
                node=link.node,
                title=self.names.title(link.node),
                label=self.names.labels.get(link.node, ""),
                where=self.names.where(link.node),
                link=link,
                address=self.query.at(link.node).address(self.view),
            )
            for link in links
        )

    def _row(self, node: int) -> FeatureRow | None:
        view = self.names.known(node)
        if view is None or view.harvest is None:
            return None
        index = int(self.graph.nodes.index[node])
        try:
            return self._store.rows(view, [index], contexts=True).get(index)
        except NotFound:  # it was removed this instant
            return None

    def _steer(self, node: int) -> str:
        view = self.names.known(node)
        if view is None or view.is_imported:
            return ""
        name = f"{view.name}:{int(self.graph.nodes.index[node])}"
        return model_page_address(view.model, "steer", text=self.view.prompt, f=name)


def _words(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """JSON values as names and short texts."""
    written = (
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in facts.items()
    )
    return [(name.replace("_", " "), text[:_LONGEST_FACT]) for name, text in written]


def graph_page(
    site: Site, model: str, name: str, query: GraphQuery | None = None, problem: str = ""
) -> GraphPage:
    """The page of a graph, with what the store knows of its features.

    Raises:
        NotFound: there is no such graph, node, or page of its table.
    """
    view = site.store.graphs.view(model, name)
    return page_of(site.store, site.typeset, view, query or GraphQuery(), problem)


def page_of(
    store: Store,
    typeset: Callable[[DictionaryView], Typeset],
    view: GraphView,
    query: GraphQuery,
    problem: str = "",
) -> GraphPage:
    """The same, for those that have no site.

    Args:
        store: where everything is read.
        typeset: the tokens of a dictionary's model.
        view: the graph.
        query: what is asked for.
        problem: why what was sent could not be kept; empty: it was.
    """
    known = [there for there in store.catalogue() if there.model == view.model]
    same = [there for there in known if there.model_checksum == view.model_checksum]
    spelling = typeset(same[0]).visible.__getitem__ if same else None
    dictionaries = {there.name: there for there in known}
    return GraphPage(store, view, query, dictionaries, spelling, problem)
