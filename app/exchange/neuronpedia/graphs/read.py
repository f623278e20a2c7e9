"""Neuronpedia's JSON as a graph, read field by field and never trusted.

What is no number, names a node that is not there, or leads round in a circle is refused with a
sentence. Only JSON is read: circuit-tracer's own `.pt` files run code when they are opened.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.errors import InvalidRequest
from app.exchange.neuronpedia.graphs.fields import (
    MOST_TOKENS,
    listed,
    mapping,
    number,
    text_of,
    whole,
    wrong,
)
from app.exchange.neuronpedia.graphs.write import OWN
from app.store.types.graphs import LOGIT_STRINGS, GraphRecord
from sae_core.circuits.graph import Edges, Graph, GraphDictionary, NodeKind, Nodes
from sae_core.circuits.influence import influence
from sae_core.errors import CircuitError

MOST_NODES = 200_000
MOST_LINKS = 2_000_000
MOST_LAYERS = 1_000
MOST_DICTIONARIES = 127
_KEY = re.compile(r"(\d{1,6})_(\d{1,18})_(\d{1,9})(?:_\d+)?\+*")
_TOKEN = re.compile(r"E_(\d{1,18})_\d{1,9}(?:_\d+)?\+*")
_OUTPUT = re.compile(r'Output "(.*)" \(p=[0-9.]+\)', re.DOTALL)
_KINDS = {"embedding": NodeKind.TOKEN, "logit": NodeKind.LOGIT}


@dataclass(frozen=True)
class ForeignGraph:
    """A graph from a file.

    Attributes:
        record: to be kept.
        note: what the file says of it.
        pinned: numbers of nodes.
        groups: title and nodes of each.
    """

    record: GraphRecord
    note: str
    pinned: tuple[int, ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class _Rows:
    """Nodes as they are read, column by column."""

    keys: list[str] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    layer: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    activation: list[float] = field(default_factory=list)
    place: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def read_graph(text: bytes, model: str, source: str) -> ForeignGraph:
    """The graph of a file.

    Args:
        text: the file, UTF-8.
        model: the name that the graph's model has here.
        source: what the file is called, for its page.

    Raises:
        InvalidRequest: it is no such file, or contradicts itself; the sentence says where.
    """
    told = mapping(_parsed(text), "The file")
    metadata = mapping(told.get("metadata"), "Its metadata")
    own = mapping(metadata.get(OWN, {}), f"metadata.{OWN}")
    strings = tuple(
        text_of(value, "A token")
        for value in listed(metadata.get("prompt_tokens"), "prompt_tokens")
    )
    if not 1 <= len(strings) <= MOST_TOKENS:
        raise wrong(f"It has {len(strings):,} prompt_tokens; 1 to {MOST_TOKENS:,} are read")
    rows = _nodes(told, len(strings))
    order = sorted(range(len(rows.keys)), key=lambda row: _order(rows, row))
    dictionaries, places = _dictionaries(rows, own, metadata)
    n_layers = _layers(rows, own)
    nodes = Nodes(
        kind=np.array(rows.kind, np.int8)[order],
        layer=_node_layers(rows, n_layers)[order],
        position=np.array(rows.position, np.int32)[order],
        index=np.array(rows.index, np.int64)[order],
        activation=np.array(rows.activation, np.float32)[order],
        place=np.array(places, np.int8)[order],
    )
    numbers = {rows.keys[row]: place for place, row in enumerate(order)}
    targets, weights = _targets(nodes, own, order)
    settings = _facts(metadata.get("generation_settings", {}))
    if not own:
        settings[LOGIT_STRINGS] = {
            str(rows.index[row]): rows.names[row]
            for row in order
            if rows.kind[row] == NodeKind.LOGIT and rows.names[row]
        }
    try:
        graph = Graph(
            model=model,
            tokens=_tokens(rows, own, len(strings)),
            token_strings=strings,
            dictionaries=dictionaries,
            n_layers=n_layers,
            nodes=nodes,
            edges=_edges(told, numbers),
            targets=targets,
            target_weights=weights,
            settings=settings,
            left_out=_facts(own.get("left_out", {})),
        )
        influence(graph)
    except CircuitError as error:
        raise wrong(str(error).rstrip(".")) from None
    checksums = own.get("checksums")
    if not isinstance(checksums, list) or len(checksums) != len(dictionaries):
        checksums = [""] * len(dictionaries)
    record = GraphRecord(
        graph=graph,
        model_checksum=text_of(own.get("model_checksum", ""), "The model's checksum"),
        checksums=tuple(text_of(value, "A checksum") for value in checksums),
        prompt=text_of(metadata.get("prompt", ""), "The prompt", 10**6),
        question="",
        source=source,
        title=text_of(own.get("title", metadata.get("slug", "")), "The title")[:200],
    )
    marks = mapping(told.get("qParams", {}), "Its qParams")
    info = metadata.get("info")
    note = info.get("description", "") if isinstance(info, Mapping) else ""
    return ForeignGraph(
        record=record,
        note=text_of(note, "The description")[:4000],
        pinned=_numbers(marks.get("pinnedIds", []), numbers),
        groups=_groups(marks.get("supernodes", []), numbers),
    )


def uncantor(pair: int) -> tuple[int, int]:
    """The pair of numbers >= 0 that a number >= 0 stands for."""
    diagonal = (math.isqrt(8 * pair + 1) - 1) // 2
    index = pair - diagonal * (diagonal + 1) // 2
    return diagonal - index, index


def _parsed(text: bytes) -> Any:
    def no_number(name: str) -> float:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"This is no graph as Neuronpedia's JSON has it: {str(error)[:120]}. circuit-tracer's "
            ".pt files are not read, because to open one runs what is in it.",
        ) from None


def _nodes(told: Mapping[str, Any], n_tokens: int) -> _Rows:
    rows, seen = _Rows(), set()
    for count, value in enumerate(listed(told.get("nodes"), "nodes", MOST_NODES)):
        what = f"Node {count}"
        node = mapping(value, what)
        key = text_of(node.get("node_id"), f"{what}'s node_id")
        if key in seen:
            raise wrong(f"Two nodes are called {key!r:.60}")
        seen.add(key)
        kind = _kind(text_of(node.get("feature_type"), f"{what}'s feature_type"))
        layer = -1
        if kind != NodeKind.TOKEN:
            layer = whole(node.get("layer"), f"{what}'s layer", MOST_LAYERS)
        position = whole(node.get("ctx_idx"), f"{what}'s ctx_idx", n_tokens)
        rows.keys.append(key)
        rows.kind.append(kind)
        rows.layer.append(layer)
        rows.position.append(position)
        rows.index.append(_index(node, key, kind, layer, what))
        figure = "token_prob" if kind == NodeKind.LOGIT else "activation"
        absent = 0.0 if kind == NodeKind.LOGIT else 1.0
        given = node.get(figure)
        rows.activation.append(absent if given is None else number(given, f"{what}'s {figure}"))
        place = node.get("place", -1)
        rows.place.append(place if type(place) is int and 0 <= place < MOST_DICTIONARIES else -1)
        name = node.get("clerp")
        found = _OUTPUT.fullmatch(name) if isinstance(name, str) else None
        rows.names.append(found[1][:100] if found else "")
    if not rows.keys:
        raise wrong("It has no nodes")
    return rows


def _kind(written: str) -> NodeKind:
    if written in _KINDS:
        return _KINDS[written]
    return NodeKind.ERROR if "error" in written else NodeKind.FEATURE


def _index(node: Mapping[str, Any], key: str, kind: NodeKind, layer: int, what: str) -> int:
    """The number of a feature in its dictionary, or of a token in the vocabulary."""
    if kind == NodeKind.ERROR:
        return -1
    if kind == NodeKind.TOKEN:
        named = _TOKEN.fullmatch(key)
        return int(named[1]) if named else 0
    pattern = _KEY.fullmatch(key)
    if pattern and (kind == NodeKind.LOGIT or int(pattern[1]) == layer):
        return int(pattern[2])
    feature = whole(node.get("feature"), f"{what}'s feature", 1 << 62)
    if kind == NodeKind.LOGIT:
        return feature
    of, index = uncantor(feature)
    return index if of == layer else feature


def _order(rows: _Rows, row: int) -> tuple[int, ...]:
    """Tokens first, logits last; between them by layer, position and feature."""
    kind = rows.kind[row]
    rank = {NodeKind.TOKEN: 0, NodeKind.LOGIT: 2}.get(NodeKind(kind), 1)
    if rank == 2:
        return (rank, row)
    return (rank, rows.layer[row], rows.position[row], rows.place[row], rows.index[row], row)


def _dictionaries(
    rows: _Rows, own: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[tuple[GraphDictionary, ...], list[int]]:
    """The dictionaries, and for each node the number of its own."""
    written = own.get("dictionaries")
    if isinstance(written, list):
        if len(written) > MOST_DICTIONARIES:
            raise wrong(f"It has {len(written)} dictionaries; {MOST_DICTIONARIES} are read")
        return tuple(_dictionary(value) for value in written), rows.place
    details = metadata.get("feature_details")
    name = details.get("neuronpedia_source_set") if isinstance(details, Mapping) else None
    title = name[:200] if isinstance(name, str) and name else "features"
    features = [row for row, kind in enumerate(rows.kind) if kind == NodeKind.FEATURE]
    layers = sorted({rows.layer[row] for row in features})
    if len(layers) > MOST_DICTIONARIES:
        raise wrong(f"Its features lie in {len(layers)} layers; {MOST_DICTIONARIES} are read")
    sizes = dict.fromkeys(layers, 0)
    for row in features:
        sizes[rows.layer[row]] = max(sizes[rows.layer[row]], rows.index[row] + 1)
    places = [-1] * len(rows.keys)
    for row in features:
        places[row] = layers.index(rows.layer[row])
    point = "blocks.{}.mlp"
    return (
        tuple(
            GraphDictionary(
                name=f"{layer}-{title}",
                hook_point=point.format(layer),
                output_hook_point=point.format(layer),
                d_sae=sizes[layer],
                is_neurons=False,
            )
            for layer in layers
        ),
        places,
    )


def _dictionary(value: Any) -> GraphDictionary:
    facts = mapping(value, "A dictionary")
    return GraphDictionary(
        name=text_of(facts.get("name"), "A dictionary's name"),
        hook_point=text_of(facts.get("hook_point"), "A hook point"),
        output_hook_point=text_of(facts.get("output_hook_point"), "A hook point"),
        d_sae=whole(facts.get("d_sae"), "A dictionary's d_sae", 1 << 40),
        is_neurons=facts.get("is_neurons") is True,
    )


def _layers(rows: _Rows, own: Mapping[str, Any]) -> int:
    inner = [
        layer
        for layer, kind in zip(rows.layer, rows.kind, strict=True)
        if kind in (NodeKind.FEATURE, NodeKind.ERROR)
    ]
    least = max(inner, default=0) + 1
    written = own.get("n_layers")
    return written if type(written) is int and least <= written <= MOST_LAYERS else least


def _node_layers(rows: _Rows, n_layers: int) -> Any:
    logits = np.array(rows.kind) == NodeKind.LOGIT
    return np.where(logits, n_layers, np.array(rows.layer)).astype(np.int16)


def _tokens(rows: _Rows, own: Mapping[str, Any], n_tokens: int) -> Any:
    written = own.get("tokens")
    if isinstance(written, list) and len(written) == n_tokens:
        return np.array([whole(token, "A token", 1 << 40) for token in written], np.int64)
    tokens = np.zeros(n_tokens, np.int64)
    for kind, position, index in zip(rows.kind, rows.position, rows.index, strict=True):
        if kind == NodeKind.TOKEN:
            tokens[position] = index
    return tokens


def _targets(nodes: Nodes, own: Mapping[str, Any], order: Sequence[int]) -> tuple[Any, Any]:
    """What is explained: as the file says, or all logits by their probabilities."""
    written = own.get("targets")
    if isinstance(written, list) and written:
        back = {row: place for place, row in enumerate(order)}
        pairs = []
        for value in written:
            pair = listed(value, "A target", 2)
            row = whole(pair[0] if pair else None, "A target", len(order))
            share = number(pair[1] if len(pair) > 1 else None, "A target's share")
            pairs.append((back[row], share))
        nodes_of, shares_of = zip(*pairs, strict=True)
        return np.array(nodes_of, np.int32), np.array(shares_of, np.float32)
    logits = np.flatnonzero(nodes.kind == NodeKind.LOGIT)
    if not len(logits):
        raise wrong("It has no logit: there is nothing that it explains")
    shares = np.maximum(nodes.activation[logits].astype(np.float64), 0.0)
    total = shares.sum()
    shares = shares / total if total else np.full(len(logits), 1 / len(logits))
    return logits.astype(np.int32), shares.astype(np.float32)


def _edges(told: Mapping[str, Any], numbers: Mapping[str, int]) -> Edges:
    links = listed(told.get("links"), "links", MOST_LINKS)
    source, target, weight = [], [], []
    for count, value in enumerate(links):
        if not isinstance(value, Mapping):
            raise wrong(f"Link {count} is no object")
        ends = []
        for key in (value.get("source"), value.get("target")):
            place = numbers.get(key) if isinstance(key, str) else None
            if place is None:
                raise wrong(f"Link {count} leads to a node that is not there")
            ends.append(place)
        source.append(ends[0])
        target.append(ends[1])
        weight.append(number(value.get("weight"), f"The weight of link {count}"))
    order = np.lexsort((source, target))
    return Edges(
        source=np.array(source, np.int32)[order],
        target=np.array(target, np.int32)[order],
        weight=np.array(weight, np.float32)[order],
    )


def _numbers(value: Any, numbers: Mapping[str, int]) -> tuple[int, ...]:
    """The nodes that a list names; what is not there is left out."""
    keys = value if isinstance(value, list) else []
    return tuple(
        sorted({numbers[key] for key in keys[:2000] if isinstance(key, str) and key in numbers})
    )


def _groups(value: Any, numbers: Mapping[str, int]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    groups = []
    for group in value[:200] if isinstance(value, list) else []:
        if isinstance(group, list) and group and isinstance(group[0], str):
            nodes = _numbers(group[1:], numbers)
            title = " ".join("".join(c if c.isprintable() else " " for c in group[0]).split())
            if nodes:
                groups.append((title[:200] or "group", nodes))
    return tuple(groups)


def _facts(value: Any) -> dict[str, Any]:
    there = list(value.items())[:100] if isinstance(value, Mapping) else []
    return {str(key)[:100]: fact for key, fact in there}
