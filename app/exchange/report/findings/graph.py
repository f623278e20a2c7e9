"""What a prediction is made of: the strongest edges of an attribution graph."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np

from app.errors import InvalidRequest
from app.exchange.report.bench import CannotRecompute, RecomputingBench
from app.exchange.report.comparison import NearFigure
from app.exchange.report.findings.kind import FindingKind, GatheredFinding, ReadFinding
from app.exchange.report.findings.named import model_named, plain_text, short
from app.exchange.report.findings.traced import TracedDictionary, TracedModel, views_of
from app.exchange.report.schema import ReportPart
from app.rendering.addresses import graph_address
from app.rendering.numbers import percent
from app.rendering.tokens import printable, visible
from app.store.store import Store
from app.worker.client.graphs import MEMORY
from sae_core.circuits.build import graph_steps
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.influence import edge_influence, influence
from sae_core.circuits.settings import GraphSettings
from sae_core.circuits.steps import finished
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.vocabulary import Vocabulary

MOST_EDGES = 40
_SURE = 20  # of the strongest edges here that a report has to have
_TOLERANCE = 2e-3
_WHY = "float32 sums of the passes behind a graph are rounded in another order on other hardware"


class GraphAsked(TracedModel):
    """What decides a graph: besides, the prompt and the settings of `sae_core/circuits`."""

    prompt: str
    max_logits: int
    desired_probability: float
    target_tokens: tuple[int, ...]
    target_features: tuple[tuple[int, int, int], ...]
    max_nodes: int
    max_edges: int


class GraphNode(ReportPart):
    """A node: what a reader sees of it, its activation (of a logit the probability), and its
    influence on the targets, where all of these have 1 together."""

    text: str
    activation: float
    influence: float


class GraphFound(ReportPart):
    """The graph in short.

    Attributes:
        tokens: of the prompt.
        texts: of each token what a reader sees.
        targets: name of each and how much it counts.
        nodes: by name: the targets, and the ends of `edges`.
        edges: those of the strongest influence, by the names of their ends.
        influence_left_out: share of the influence that kept edges do not carry.
    """

    tokens: tuple[int, ...]
    texts: tuple[str, ...]
    targets: dict[str, float]
    nodes: dict[str, GraphNode]
    edges: dict[str, float]
    influence_left_out: float


class GraphStated(ReportPart):
    """Name, title and note."""

    name: str
    title: str
    note: str


Finding = ReadFinding[GraphAsked, GraphFound, GraphStated]


class GraphKind(FindingKind[GraphAsked, GraphFound, GraphStated]):
    """An attribution graph in short."""

    name = "graph"
    asked = GraphAsked
    found = GraphFound
    stated = GraphStated

    def gather(
        self, store: Store, words: str
    ) -> GatheredFinding[GraphAsked, GraphFound, GraphStated]:
        """A graph by its address, `MODEL/NAME`."""
        view = store.graphs.view(*model_named(words, "graph"))
        graph = store.graphs.contents(view)
        if view.source or not view.model_checksum:
            raise InvalidRequest(
                f"The graph {view.name} was read from a file: nothing of it can be computed again. "
                "Leave it out, or compute it here."
            )
        settings = {
            name: value for name, value in graph.settings.items() if name != "edges_per_target"
        }
        asked = GraphAsked(
            model=view.model,
            checksum=view.model_checksum,
            dictionaries=tuple(
                TracedDictionary(
                    name=part.name,
                    hook_point=part.hook_point,
                    checksum="" if part.is_neurons else checksum,
                )
                for part, (_, checksum) in zip(graph.dictionaries, view.dictionaries, strict=True)
            ),
            prompt=plain_text(view.prompt),
            **settings,
        )
        views = views_of(store, asked)
        models = [other for other in store.catalogue() if other.model == view.model]
        vocabulary = store.vocabulary(models[0].model_id)
        stated = GraphStated(
            name=view.name, title=plain_text(view.title), note=plain_text(view.note)
        )
        return GatheredFinding(asked, graph_found(graph, vocabulary), stated, views)

    def titles(self, asked: GraphAsked) -> tuple[str, ...]:
        """Those of its dictionaries that are no neurons."""
        return tuple(f"{asked.model}/{part.name}" for part in asked.dictionaries if part.checksum)

    def claim(self, finding: Finding) -> str:
        """What is predicted, and what the strongest edge is."""
        found = finding.found
        name, share = next(iter(sorted(found.targets.items(), key=lambda item: -item[1])), ("", 0))
        text = printable(found.nodes[name].text) if name in found.nodes else ""
        prompt = printable(finding.asked.prompt[-80:])
        begin = f"After “{prompt}” the target {name} “{text}” counts {percent(share)}"
        if not found.edges:
            return f"{begin}."
        edge = max(found.edges, key=lambda key: abs(found.edges[key]))
        return f"{begin}; of the {len(found.edges)} edges shown the largest is {edge}."

    def command(self, finding: Finding) -> str:
        """What computes it."""
        asked = finding.asked
        words = ["featurescope", "graph", shlex.quote(asked.model), shlex.quote(asked.prompt)]
        for part in asked.dictionaries:
            if part.checksum:
                words += ["--dictionary", shlex.quote(part.name)]
        if any(not part.checksum for part in asked.dictionaries):
            words.append("--neurons")
        return printable(" ".join([*words, "--nodes", str(asked.max_nodes)]))

    def address(self, finding: Finding) -> str:
        """Of its page."""
        return graph_address(finding.asked.model, finding.stated.name)

    def recompute(self, finding: Finding, bench: RecomputingBench) -> dict[str, Any]:
        """The graph anew; of the strongest edges, those that the report names."""
        asked, found = finding.asked, finding.found
        model, dictionaries = asked.loaded(bench)
        settings = GraphSettings(
            max_logits=asked.max_logits,
            desired_probability=asked.desired_probability,
            target_tokens=asked.target_tokens,
            target_features=asked.target_features,
            max_nodes=asked.max_nodes,
            max_edges=asked.max_edges,
            memory=MEMORY,
        )
        names = [part.name for part in asked.dictionaries]
        prompt = prompt_tokens(model, asked.prompt)
        graph = finished(graph_steps(model, prompt, dictionaries, settings, names))
        if len(graph.tokens) != len(found.tokens):
            raise CannotRecompute("the prompt has another number of tokens here")
        return _again(graph, model.vocabulary, found)


def graph_found(graph: Graph, vocabulary: Vocabulary) -> GraphFound:
    """A graph in short."""
    strongest = _strongest(graph)[:MOST_EDGES]
    every = _names(graph)
    reached = influence(graph)
    ends = {
        int(node)
        for node in (
            *graph.targets,
            *graph.edges.source[strongest],
            *graph.edges.target[strongest],
        )
    }
    return GraphFound(
        tokens=tuple(graph.tokens.tolist()),
        texts=tuple(visible(vocabulary.pieces[token]) for token in graph.tokens.tolist()),
        targets={
            every[node]: short(share)
            for node, share in zip(graph.targets.tolist(), graph.target_weights, strict=True)
        },
        nodes={
            every[node]: GraphNode(
                text=_text(graph, node, vocabulary),
                activation=short(graph.nodes.activation[node]),
                influence=float(reached[node]),
            )
            for node in sorted(ends)
        },
        edges={_edge(graph, every, edge): short(graph.edges.weight[edge]) for edge in strongest},
        influence_left_out=float(graph.left_out["influence_of_edges"]),
    )


def _again(graph: Graph, vocabulary: Vocabulary, found: GraphFound) -> dict[str, Any]:
    every = _names(graph)
    number = {name: node for node, name in enumerate(every)}
    reached = influence(graph)
    weights = {
        _edge(graph, every, edge): float(graph.edges.weight[edge])
        for edge in range(len(graph.edges))
    }
    sure = [_edge(graph, every, edge) for edge in _strongest(graph)[:_SURE]]
    scale = max((abs(weight) for weight in weights.values()), default=0.0)
    nodes = {}
    for name in found.nodes.keys() & number.keys():
        node = number[name]
        value = float(graph.nodes.activation[node])
        nodes[name] = {
            "text": _text(graph, node, vocabulary),
            "activation": _near(value, abs(value)),
            "influence": _near(float(reached[node]), 1.0),
        }
    return {
        "tokens": graph.tokens.tolist(),
        "texts": [visible(vocabulary.pieces[token]) for token in graph.tokens.tolist()],
        "targets": {
            every[node]: _near(float(share), 1.0)
            for node, share in zip(graph.targets.tolist(), graph.target_weights, strict=True)
        },
        "nodes": nodes,
        "edges": {
            name: _near(weights[name], scale)
            for name in {*sure, *(found.edges.keys() & weights.keys())}
        },
        "influence_left_out": _near(float(graph.left_out["influence_of_edges"]), 1.0),
    }


def _near(value: float, scale: float) -> NearFigure:
    return NearFigure(value, _TOLERANCE * scale, _WHY)


def _strongest(graph: Graph) -> list[int]:
    """Edges by influence, the strongest first."""
    order: list[int] = np.argsort(-np.abs(edge_influence(graph)), kind="stable").tolist()
    return order


def _names(graph: Graph) -> list[str]:
    """What nodes are called in a report, each once."""
    nodes, names = graph.nodes, []
    for node in range(len(nodes)):
        kind, index = int(nodes.kind[node]), int(nodes.index[node])
        position, place = int(nodes.position[node]), int(nodes.place[node])
        if kind == NodeKind.TOKEN:
            name = f"token at {position}"
        elif kind == NodeKind.LOGIT:
            name = f"logit {index}"
        elif kind == NodeKind.FEATURE:
            name = f"{printable(graph.dictionaries[place].name)}/{index} at {position}"
        else:
            name = f"error of layer {int(nodes.layer[node])} at {position}"
            name += f" in {printable(graph.dictionaries[place].name)}" if place >= 0 else ""
        names.append(name)
    return names


def _edge(graph: Graph, names: list[str], edge: int) -> str:
    return f"{names[graph.edges.source[edge]]} → {names[graph.edges.target[edge]]}"


def _text(graph: Graph, node: int, vocabulary: Vocabulary) -> str:
    """The token that a node stands for or at."""
    kind, index = int(graph.nodes.kind[node]), int(graph.nodes.index[node])
    token = index if kind == NodeKind.LOGIT else int(graph.tokens[graph.nodes.position[node]])
    return visible(vocabulary.pieces[token])
