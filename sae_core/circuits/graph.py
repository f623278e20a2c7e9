"""An attribution graph: what a prediction is made of, as arrays of nodes and edges.

The edge from s to t is what s adds to t: to the pre-activation of a feature, or to a logit less the
mean of all logits. Everything is linear once attention patterns and norm denominators are frozen
(`frozen`), so that the edges into a node and its constant sum to what it has in the model.
Ameisen et al., "Circuit Tracing" (2025); for residual streams Marks et al. (2024).

Only numpy: graphs are read where no torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import CircuitError

Scalar = TypeVar("Scalar", bound=np.generic)


class NodeKind(IntEnum):
    """What a node stands for.

    TOKEN is the embedding at a position, FEATURE a feature (or neuron) that fires there, ERROR what
    no feature explains of an activation there, LOGIT a token that may come next.
    """

    TOKEN = 0
    FEATURE = 1
    ERROR = 2
    LOGIT = 3


@dataclass(frozen=True)
class Nodes:
    """All nodes: tokens first, then by layer, position and feature; logits last.

    Attributes:
        kind: of `NodeKind`, int8 [n].
        layer: of the block whose activation it is; -1 for tokens, n_layers for logits, int16 [n].
        position: in the prompt; of a logit the last one, int32 [n].
        index: number of the feature, vocabulary id of a token or logit, -1 for errors, int64 [n].
        activation: of a feature, model units; the probability of a logit; 1 for tokens and errors,
            float32 [n].
        place: number of the dictionary in `Graph.dictionaries` that a feature or error belongs to;
            -1 for tokens and logits, and for errors of an MLP that has no dictionary, int8 [n].
    """

    kind: NDArray[np.int8]
    layer: NDArray[np.int16]
    position: NDArray[np.int32]
    index: NDArray[np.int64]
    activation: NDArray[np.float32]
    place: NDArray[np.int8]

    def __post_init__(self) -> None:
        n = len(self.kind)
        _check("kind", self.kind, np.int8, n)
        _check("layer", self.layer, np.int16, n)
        _check("position", self.position, np.int32, n)
        _check("index", self.index, np.int64, n)
        _check("activation", self.activation, np.float32, n)
        _check("place", self.place, np.int8, n)
        if n and (self.kind.min() < min(NodeKind) or self.kind.max() > max(NodeKind)):
            raise CircuitError("A node of the graph is of a kind that is not known here.")

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True)
class Edges:
    """All edges, ordered by target, then source.

    Attributes:
        source: index of a node, int32 [m].
        target: index of another, int32 [m].
        weight: what the target's pre-activation (of a logit: the logit less the mean of all) owes
            the source, float32 [m].
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    weight: NDArray[np.float32]

    def __post_init__(self) -> None:
        m = len(self.source)
        _check("source", self.source, np.int32, m)
        _check("target", self.target, np.int32, m)
        _check("weight", self.weight, np.float32, m)

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class GraphDictionary:
    """A dictionary whose features are nodes.

    Attributes:
        name: as it is called in the store; of neurons the hook point.
        hook_point: whose activation is encoded.
        output_hook_point: whose activation is reconstructed.
        d_sae: features.
        is_neurons: whether the features are the model's own neurons.
    """

    name: str
    hook_point: str
    output_hook_point: str
    d_sae: int
    is_neurons: bool


@dataclass(frozen=True)
class Graph:
    """One prompt's attribution graph.

    Attributes:
        model: its name.
        tokens: of the prompt, int64 [pos].
        token_strings: what each of them stands for.
        dictionaries: whose features are nodes, by `Nodes.place`.
        n_layers: blocks of the model.
        nodes: all that were kept.
        edges: among them.
        targets: nodes (logits or features) whose causes are asked for, int32 [n_targets].
        target_weights: how much each of them counts, float32 [n_targets], sum 1; of logits their
            probabilities.
        settings: all that decided what the graph is, JSON-able.
        left_out: how many nodes and edges were not kept, and the share of influence that they
            carry, JSON-able.
    """

    model: str
    tokens: NDArray[np.int64]
    token_strings: tuple[str, ...]
    dictionaries: tuple[GraphDictionary, ...]
    n_layers: int
    nodes: Nodes
    edges: Edges
    targets: NDArray[np.int32]
    target_weights: NDArray[np.float32]
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check("tokens", self.tokens, np.int64, len(self.token_strings))
        _check("targets", self.targets, np.int32, len(self.targets))
        _check("target_weights", self.target_weights, np.float32, len(self.targets))
        n, nodes = len(self.nodes), self.nodes
        _check_range("The source of an edge", self.edges.source, 0, n)
        _check_range("The target of an edge", self.edges.target, 0, n)
        _check_range("A target of the graph", self.targets, 0, n)
        _check_range("The position of a node", nodes.position, 0, len(self.tokens))
        _check_range("The layer of a node", nodes.layer, -1, self.n_layers + 1)
        _check_range("The dictionary of a node", nodes.place, -1, len(self.dictionaries))


def _check(name: str, column: NDArray[Scalar], dtype: type[Scalar], n: int) -> None:
    """Refuse a column of another length or type, or with numbers that are none.

    Raises:
        CircuitError: it is.
    """
    if column.shape != (n,) or column.dtype != dtype:
        raise CircuitError(
            f"The graph's {name} is {column.dtype} {list(column.shape)}: it has to be "
            f"{np.dtype(dtype)} [{n}]."
        )
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise CircuitError(f"The graph's {name} has an entry that is no finite number.")


def _check_range(what: str, column: NDArray[Any], low: int, high: int) -> None:
    """Refuse numbers outside of low <= number < high.

    Raises:
        CircuitError: there is one.
    """
    if len(column) and (column.min() < low or column.max() >= high):
        wrong = int(column.min() if column.min() < low else column.max())
        raise CircuitError(f"{what} is {wrong}: it has to lie between {low} and {high - 1}.")
