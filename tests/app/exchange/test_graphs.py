"""Neuronpedia's JSON of graphs: the same graph back, the format's own fields, and bad files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidRequest
from app.exchange.neuronpedia.graphs.keep import keep_file
from app.exchange.neuronpedia.graphs.read import read_graph, uncantor
from app.exchange.neuronpedia.graphs.write import cantor, graph_json
from app.store.store import Store
from sae_core.circuits.graph import NodeKind
from sae_core.circuits.packing import pack_graph
from tests.app.pretend import circuits

# What graph-schema.json of Neuronpedia requires, in our own words.
REQUIRED = {
    "metadata": {"slug": str, "scan": str, "prompt_tokens": list, "prompt": str},
    "nodes": {
        "node_id": str,
        "feature": int,
        "layer": str,
        "ctx_idx": int,
        "feature_type": str,
        "jsNodeId": str,
        "clerp": str,
    },
    "links": {"source": str, "target": str, "weight": float},
}


def written(store: Store, share: float | None = None, seed: int = 0) -> dict[str, Any]:
    made = circuits.graph(seed=seed)
    view = store.graphs.save(circuits.record(made))
    store.graphs.pin("demo", view.name, [7, 9])
    view = store.graphs.group("demo", view.name, "names \u202e", [8, 10])
    names = [f"<b>{n}" for n in range(len(made.nodes))]
    told: dict[str, Any] = json.loads("".join(graph_json(view, made, names, share)))
    return told


def upstream() -> dict[str, Any]:
    """A small graph as circuit-tracer writes it, without anything of ours."""

    def node(key: str, feature: int, layer: str, position: int, kind: str, **more: Any) -> Any:
        return {
            "node_id": key,
            "feature": feature,
            "layer": layer,
            "ctx_idx": position,
            "feature_type": kind,
            "jsNodeId": f"{key}-0",
            "clerp": "",
            **more,
        }

    features = "cross layer transcoder"
    return {
        "metadata": {
            "slug": "cat",
            "scan": "gemma",
            "prompt_tokens": ["<bos>", "The", " cat"],
            "prompt": "The cat",
            "feature_details": {"neuronpedia_source_set": "gemmascope-16k"},
        },
        "qParams": {"pinnedIds": ["1_7_2", "gone"], "supernodes": [["animals", "0_5_2"], []]},
        "nodes": [
            node("E_4521_2", 2, "E", 2, "embedding"),
            node("0_5_2", 5, "0", 2, features, activation=2.5),
            node("1_7_2", cantor(1, 7), "1", 2, features, activation=1.5),
            node("0_1_2", -1, "1", 2, "mlp reconstruction error"),
            node("3_99_2", 99, "3", 2, "logit", token_prob=0.6, clerp='Output " sat" (p=0.600)'),
        ],
        "links": [
            {"source": "E_4521_2", "target": "0_5_2", "weight": 3.5},
            {"source": "0_5_2", "target": "1_7_2", "weight": -1.25},
            {"source": "1_7_2", "target": "3_99_2", "weight": 2},
            {"source": "0_1_2", "target": "3_99_2", "weight": 0.5},
        ],
    }


def read(told: Any) -> Any:
    return read_graph(json.dumps(told).encode(), "demo", "file")


def test_it_has_all_that_the_format_requires(store: Store) -> None:
    told = written(store)
    assert {"metadata", "qParams", "nodes", "links"} <= set(told)
    rows = {"metadata": [told["metadata"]], "nodes": told["nodes"], "links": told["links"]}
    for part, fields in REQUIRED.items():
        for row in rows[part]:
            for name, kind in fields.items():
                assert isinstance(row[name], kind), (part, name, row)
    ids = {node["node_id"] for node in told["nodes"]}
    assert len(ids) == len(told["nodes"])
    assert {link["source"] for link in told["links"]} <= ids
    feature = next(n for n in told["nodes"] if n["feature_type"] == "cross layer transcoder")
    layer, index, position = feature["node_id"].split("_")
    assert uncantor(feature["feature"]) == (int(layer), int(index))
    assert feature["ctx_idx"] == int(position)
    assert told["qParams"]["supernodes"][0][0] == "names \u202e"


@pytest.mark.parametrize("seed", range(3))
def test_the_same_graph_comes_back(store: Store, seed: int) -> None:
    told = written(store, seed=seed)
    foreign = read(told)
    assert pack_graph(foreign.record.graph) == pack_graph(circuits.graph(seed=seed))
    assert foreign.record.checksums == ("b" * 64, "")
    assert foreign.pinned == (7, 9)
    assert foreign.groups[0][1] == (8, 10)


def test_a_pruned_file_is_a_graph_too(store: Store) -> None:
    told = written(store, 0.5)
    made = read(told).record.graph
    assert len(made.nodes) < len(circuits.graph().nodes)
    assert len(made.edges) == len(told["links"])
    assert told["metadata"]["pruning_settings"]["node_threshold"] == 0.5


def test_a_graph_of_circuit_tracer_is_kept_with_its_pins_and_groups(store: Store) -> None:
    view = keep_file(store, json.dumps(upstream()).encode(), "gemma", "cat.json")
    graph = store.graphs.contents(view)
    assert (view.model, view.title, view.source, view.prompt) == (
        *("gemma", "cat", "cat.json"),
        "The cat",
    )
    assert graph.nodes.kind.tolist() == [
        *(NodeKind.TOKEN, NodeKind.FEATURE, NodeKind.ERROR, NodeKind.FEATURE, NodeKind.LOGIT)
    ]
    assert graph.nodes.index.tolist() == [4521, 5, -1, 7, 99]
    assert graph.nodes.layer.tolist() == [-1, 0, 1, 1, 2]
    assert [d.name for d in graph.dictionaries] == ["0-gemmascope-16k", "1-gemmascope-16k"]
    assert graph.settings["logit_strings"] == {"99": " sat"}
    assert np.allclose(graph.target_weights, [1.0])
    assert view.pinned == (3,)
    assert [(group.title, group.nodes) for group in view.groups] == [("animals", (1,))]
    again = keep_file(store, json.dumps(upstream()).encode(), "gemma", "cat.json")
    assert again == view


def test_pairs_of_numbers_are_one_number_and_back() -> None:
    for layer, index in ((0, 0), (1, 0), (25, 16_383), (0, 2**40), (999, 2**50)):
        assert uncantor(cantor(layer, index)) == (layer, index)


def _with(path: str, value: Any) -> Any:
    told = upstream()
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = told
    for part in way:
        place = place[part]
    place[last] = value
    return told


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ([], "no object"),
        ({}, "metadata is no object"),
        (_with("metadata.prompt_tokens", []), "0 prompt_tokens"),
        (_with("metadata.prompt_tokens", [1]), "A token is no text"),
        (_with("nodes", {}), "as nodes is no list"),
        (_with("nodes", []), "no nodes"),
        (_with("nodes.1.node_id", "E_4521_2"), "Two nodes"),
        (_with("nodes.1.ctx_idx", 3), "ctx_idx is no number from 0 to 2"),
        (_with("nodes.1.ctx_idx", True), "ctx_idx is no number"),
        (_with("nodes.1.layer", "10" * 200), "layer is no number"),
        (_with("nodes.1.layer", 10**9), "layer is no number"),
        (_with("nodes.1.activation", 1e300), "activation is no number"),
        (_with("nodes.1.activation", 10**400), "activation is no number"),
        (_with("links.0.target", "nowhere"), "leads to a node that is not there"),
        (_with("links.0.target", ["0_5_2"]), "leads to a node that is not there"),
        (_with("links.0.weight", "3"), "weight of link 0 is no number"),
        (_with("links.0.source", "1_7_2"), "cycle"),
        (_with("links.3", 7), "Link 3 is no object"),
        (_with("nodes.4.feature_type", "embedding"), "no logit"),
    ],
)
def test_a_file_that_contradicts_itself_is_a_sentence(told: Any, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        read(told)


def test_an_absurd_pair_is_a_sentence() -> None:
    told = _with("nodes.1.feature", 10**200)
    told["nodes"][1]["node_id"] = "somewhere"
    told["links"] = told["links"][2:]
    with pytest.raises(InvalidRequest, match="feature is no number"):
        read(told)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"PK\x03\x04",
        b"[" * 100_000,
        json.dumps(upstream()).replace("3.5", "NaN").encode(),
        json.dumps(upstream()).replace("3.5", "-Infinity").encode(),
        json.dumps(upstream()).replace("3.5", "9" * 5000).encode(),
    ],
)
def test_what_is_no_json_of_numbers_is_a_sentence(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"no graph|no number"):
        read_graph(text, "demo", "file")


def test_many_links_are_counted_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.exchange.neuronpedia.graphs.read.MOST_LINKS", 3)
    with pytest.raises(InvalidRequest, match="4 links; up to 3"):
        read(upstream())
