"""Attribution graphs from Python. Twins of the JSON interface."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from typing import Any

from pydantic import TypeAdapter

from app.client.transport import Transport, failures, question_of, refused
from app.pages.graph import schema as types
from app.pages.graph.circuit.schema import CircuitAnswer, CircuitList, CircuitSummary
from app.pages.graph.questions import USUAL_MEMORY, USUAL_NODES, GraphQuestion

Stream = Callable[[str, str, Any, TypeAdapter[Any]], Generator[Any, None, None]]


class GraphsClient:
    """What predictions are made of. Reached as `FeaturescopeClient.graphs`.

    Every method raises RequestFailed where the server refuses or cannot be reached.
    """

    def __init__(self, transport: Transport, stream: Stream) -> None:
        self._transport = transport
        self._stream = stream

    def all(self, model: str) -> list[types.GraphSummary]:
        """The graphs of a model that are kept, the newest first."""
        address = self._transport.address("m", model, "graphs")
        return self._transport.ask("GET", address, types.GraphList).graphs

    def trace(
        self,
        model: str,
        prompt: str,
        targets: Sequence[int | str] = (),
        features: Sequence[tuple[str, int, int]] = (),
        dictionaries: Sequence[str] | None = None,
        neurons: bool | None = None,
        max_nodes: int = USUAL_NODES,
        memory: float = USUAL_MEMORY,
    ) -> Generator[types.TracingBeganEvent | types.StepEvent | types.ReadyEvent, None, None]:
        """Compute a graph and keep it: what it takes, how far it is, and in the end its name.
        Closing the iterator ends the work.

        Args:
            model: name of the model.
            prompt: text; what is explained is the prediction after it.
            targets: tokens by id or text; none, and no features: the likeliest ones.
            features: whose causes are asked for: dictionary, index and position of each.
            dictionaries: None: the model's transcoders, or, where it has none, no dictionary.
            neurons: whether neurons are nodes in layers that no dictionary reads; None: where
                there is no dictionary at all.
            max_nodes: features kept, the strongest first.
            memory: GiB that the work may take besides the weights.
        """
        question = question_of(
            GraphQuestion,
            prompt=prompt,
            targets=(*targets,),
            features=tuple(
                {"dictionary": name, "feature": index, "position": position}
                for name, index, position in features
            ),
            dictionaries=None if dictionaries is None else (*dictionaries,),
            neurons=neurons,
            max_nodes=max_nodes,
            memory=memory,
        )
        return self._stream(model, "graph", question, TypeAdapter(types.GraphEvent))

    def of(self, model: str, name: str) -> types.GraphAnswer:
        """A graph with its nodes and edges."""
        return self._transport.ask("GET", self._address(model, name), types.GraphAnswer)

    def check(self, model: str, name: str, node: int) -> types.NodeCheckAnswer:
        """Take a node out of the real model, and look at what it adds to."""
        address = self._address(model, name, "nodes", str(node), "check")
        return self._transport.ask("GET", address, types.NodeCheckAnswer)

    def ways(
        self, model: str, name: str, node: int, target: int | None = None
    ) -> types.NodeWaysAnswer:
        """By which ways a node reaches a target; None: the graph's first."""
        query = "" if target is None else str(target)
        address = self._transport.address(
            "m", model, "graph", name, "nodes", str(node), "ways", target=query
        )
        return self._transport.ask("GET", address, types.NodeWaysAnswer)

    def parts(self, model: str, name: str, node: int) -> types.NodePartsAnswer:
        """What a node is made of: what is written straight where it reads, and through heads."""
        address = self._address(model, name, "nodes", str(node), "parts")
        return self._transport.ask("GET", address, types.NodePartsAnswer)

    def score(
        self, model: str, name: str, node: int, head: str, key: int
    ) -> types.ScorePartsAnswer:
        """Why a head (layer.head) looks from a node's position to another."""
        address = self._transport.address(
            "m", model, "graph", name, "nodes", str(node), "score", head=head, key=str(key)
        )
        return self._transport.ask("GET", address, types.ScorePartsAnswer)

    def scale(
        self, model: str, name: str, nodes: Sequence[int], factor: float = 0.0
    ) -> types.ScaledAnswer:
        """The targets where some features write so many times what they do; 0: taken out."""
        address = self._transport.address(
            *("m", model, "graph", name, "scaled"),
            nodes=",".join(map(str, nodes)),
            factor=str(factor),
        )
        return self._transport.ask("GET", address, types.ScaledAnswer)

    def faithfulness(self, model: str, name: str) -> types.JudgementAnswer:
        """Keep the strongest features of a graph alone, and take them out, in the real model."""
        address = self._address(model, name, "faithfulness")
        return self._transport.ask("GET", address, types.JudgementAnswer)

    def file(self, model: str, name: str, share: float | None = None) -> dict[str, Any]:
        """A graph as Neuronpedia's JSON.

        Args:
            model: name of the model.
            name: of the graph.
            share: of all influence, that the nodes in it carry; None: all nodes.
        """
        query = "" if share is None else str(share)
        address = self._transport.address("m", model, "graph", name, "file", share=query)
        told: dict[str, Any] = json.loads(self._transport.send("GET", address).content)
        return told

    def take(self, model: str, file: dict[str, Any]) -> types.GraphSummary:
        """Keep a graph from a file as Neuronpedia and circuit-tracer write it."""
        address = self._transport.address("m", model, "graphs")
        with failures(address):
            answer = self._transport.http.request("POST", address, json=file)
            if not answer.is_success:
                raise refused(answer)
            return types.GraphSummary.model_validate_json(answer.content)

    def describe(self, model: str, name: str, title: str, note: str = "") -> types.GraphSummary:
        """Give a graph another title and note. Its address stays."""
        question = question_of(types.DescribeQuestion, title=title, note=note)
        return self._kept("PUT", question, model, name)

    def put_away(self, model: str, name: str) -> None:
        """Put a graph away. Nothing of it is lost."""
        self._transport.send("DELETE", self._address(model, name))

    def restore(self, model: str, name: str) -> types.GraphSummary:
        """Take a graph up again that was put away."""
        return self._kept("POST", None, model, name, "restore")

    def pin(self, model: str, name: str, nodes: Sequence[int]) -> types.GraphSummary:
        """Keep these nodes in view, and no others."""
        return self._kept(
            "PUT", question_of(types.PinsQuestion, nodes=(*nodes,)), model, name, "pins"
        )

    def group(
        self, model: str, name: str, title: str, nodes: Sequence[int], group: str = ""
    ) -> types.GraphSummary:
        """Put nodes together under a title, or, by its id, change a group."""
        question = question_of(types.GroupQuestion, title=title, nodes=(*nodes,))
        if group:
            return self._kept("PUT", question, model, name, "groups", group)
        return self._kept("POST", question, model, name, "groups")

    def ungroup(self, model: str, name: str, group: str) -> types.GraphSummary:
        """Take a group apart."""
        return self._kept("DELETE", None, model, name, "groups", group)

    def circuits(self, model: str) -> list[CircuitSummary]:
        """The circuits of a model's tasks, the newest first."""
        address = self._transport.address("m", model, "circuits")
        return self._transport.ask("GET", address, CircuitList).circuits

    def circuit(self, model: str, name: str) -> CircuitAnswer:
        """The circuit of a task, with all its figures."""
        address = self._transport.address("m", model, "circuit", name)
        return self._transport.ask("GET", address, CircuitAnswer)

    def _kept(
        self, method: str, question: Any, model: str, name: str, *rest: str
    ) -> types.GraphSummary:
        address = self._address(model, name, *rest)
        return self._transport.ask(method, address, types.GraphSummary, question)

    def _address(self, model: str, name: str, *rest: str) -> str:
        return self._transport.address("m", model, "graph", name, *rest)
