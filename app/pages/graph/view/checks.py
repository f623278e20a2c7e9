"""The chosen node of a graph, held against the real model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.errors import InvalidRequest, WorkerUnavailable
from app.pages.graph.view.page import GraphPage, NodeLine
from app.store.types.catalogue import DictionaryView
from app.web.schema import floats
from app.web.site import Site
from app.worker.client.faults import STRANGE
from app.worker.client.graphs import DTYPE
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.protocol.arrays import unpack_float32
from app.worker.protocol.events import GraphChecked
from app.worker.protocol.requests import CheckGraphRequest, DictionaryRef, NamedDictionary
from sae_core.circuits.graph import Edges, Graph, Nodes
from sae_core.circuits.influence import predicted_effects
from sae_core.circuits.packing import pack_graph


@dataclass(frozen=True)
class CheckedLink:
    """An edge from the chosen node, beside what the model does without the node.

    Attributes:
        node: the other end.
        weight: what the graph says.
        frozen: what the other end loses in the frozen model.
        direct: the same in the real model, other features held.
        total: the same in the real model as it is.
    """

    node: int
    weight: float
    frozen: float
    direct: float
    total: float

    @property
    def confirmed(self) -> bool:
        """Whether the direct effect has the edge's sign and, within a factor of two, its size."""
        return self.weight * self.direct > 0 and 0.5 <= abs(self.direct / self.weight) <= 2


@dataclass(frozen=True)
class NodeCheck:
    """The chosen node.

    Attributes:
        links: its edges, as the card lists them.
        predicted: what the graph's targets, weighted, owe it along all paths.
        total: what they lose without it in the real model.
    """

    links: tuple[CheckedLink, ...]
    predicted: float
    total: float

    @property
    def denied(self) -> bool:
        """Whether the real model moves the other way."""
        return self.predicted * self.total < 0

    @property
    def confirmed(self) -> int:
        """Edges that the real model confirms."""
        return sum(link.confirmed for link in self.links)

    @property
    def farthest(self) -> str:
        """The largest difference between an edge and the frozen model, as written."""
        return f"{max((abs(link.weight - link.frozen) for link in self.links), default=0.0):.1g}"


def node_check(site: Site, page: GraphPage) -> NodeCheck:
    """Take the chosen node out of the model, and look at what it adds to.

    Raises:
        InvalidRequest: no node is chosen, it adds to nothing, or the store no longer has the model
            or a dictionary as the graph was made with them.
        WorkerUnavailable: the worker cannot be reached.
    """
    line = page.chosen
    if line is None or not line.outputs:
        raise InvalidRequest("Choose a node that adds to something: it can be taken out.", "node")
    part, edges = _around(page.graph, line)
    request = CheckGraphRequest(**parts_of(site, page), graph=pack_graph(part))
    events = site.waiters.all(site.live, request)
    answer = next((event for event in events if isinstance(event, GraphChecked)), None)
    if answer is None:
        raise WorkerUnavailable(STRANGE)
    columns = (unpack_float32(part) for part in (answer.frozen, answer.direct, answer.total))
    lost = unpack_float32(answer.targets)
    try:
        rows = list(zip(edges, *map(floats, columns), strict=True))
    except ValueError as error:
        raise WorkerUnavailable(STRANGE) from error
    links = {
        target: CheckedLink(target, weight, frozen, direct, total)
        for (target, weight), frozen, direct, total in rows
    }
    return NodeCheck(
        links=tuple(links[end.node] for end in line.outputs if end.node in links),
        predicted=float(predicted_effects(page.graph)[line.node]),
        total=float(lost[0]) if len(lost) else 0.0,
    )


def _around(graph: Graph, line: NodeLine) -> tuple[Graph, list[tuple[int, float]]]:
    """The node with what it adds to and the graph's targets, as a graph of its own; target and
    weight of each edge of it, in its order."""
    ends = {end.node: end.link.weight for end in line.outputs}
    kept = np.array(sorted({line.node, *ends, *graph.targets.tolist()}), dtype=np.int64)
    number = {node: n for n, node in enumerate(kept.tolist())}
    targets = sorted(ends)
    nodes = Nodes(**{name: getattr(graph.nodes, name)[kept] for name in _COLUMNS})
    part = Graph(
        model=graph.model,
        tokens=graph.tokens,
        token_strings=graph.token_strings,
        dictionaries=graph.dictionaries,
        n_layers=graph.n_layers,
        nodes=nodes,
        edges=Edges(
            source=np.full(len(targets), number[line.node], np.int32),
            target=np.array([number[node] for node in targets], np.int32),
            weight=np.array([ends[node] for node in targets], np.float32),
        ),
        targets=np.array([number[node] for node in graph.targets.tolist()], np.int32),
        target_weights=graph.target_weights,
    )
    return part, [(node, ends[node]) for node in targets]


_COLUMNS = ("kind", "layer", "position", "index", "activation", "place")


def parts_of(site: Site, page: GraphPage) -> dict[str, Any]:
    """The model and the dictionaries of a graph, as the worker is told of them.

    Raises:
        InvalidRequest: the store no longer has them as the graph was made with them.
    """
    return {
        "model": model_ref(_model(site, page)).model_copy(update={"dtype": DTYPE}),
        "dictionaries": tuple(_dictionaries(page)),
    }


def _model(site: Site, page: GraphPage) -> DictionaryView:
    view = page.view
    for known in site.store.catalogue():
        if known.model == view.model and known.model_checksum == view.model_checksum:
            return known
    raise InvalidRequest(
        f"The store does not have the model {view.model!r:.80} that this graph was made with, so "
        "that nothing of it can be taken out.",
        "node",
    )


def _dictionaries(page: GraphPage) -> Sequence[NamedDictionary]:
    parts = []
    for made, known in zip(page.graph.dictionaries, page.names.dictionaries, strict=True):
        if made.is_neurons:
            reference = DictionaryRef(path=None, hook_point=made.hook_point)
        elif known is not None and not known.is_imported:
            reference = dictionary_ref(known)
        else:
            raise InvalidRequest(
                f"The store does not have the dictionary {made.name!r:.80} as this graph was made "
                "with it.",
                "node",
            )
        parts.append(NamedDictionary(name=made.name, reference=reference))
    return parts
