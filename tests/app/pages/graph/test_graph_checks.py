"""What graphs propose, and what the real model says of them, over a worker that pretends."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from app.client import FeaturescopeClient
from app.pages.graph.view.proposals import proposals
from app.worker.protocol.requests import CheckGraphRequest, JudgeGraphRequest
from sae_core.circuits.graph import Edges, Graph, NodeKind
from sae_core.circuits.influence import predicted_effects
from sae_core.circuits.packing import unpack_graph
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend import circuits
from tests.app.pretend.circuits import PretendTracing
from tests.app.pretend.clients import Client


def test_groups_are_proposed_by_label_by_feature_and_by_use() -> None:
    made = circuits.graph()
    kept = list(range(len(made.nodes)))
    features = np.flatnonzero(made.nodes.kind == NodeKind.FEATURE).tolist()
    influence = np.ones(len(made.nodes))
    titles = {node: f"n{node}" for node in kept}
    labels = {features[0]: "quotes", features[3]: "quotes"}

    def proposed(graph: Graph, taken: tuple[int, ...] = ()) -> dict[str, tuple[int, ...]]:
        groups = proposals(graph, kept, influence, labels, titles, frozenset(taken))
        return {group.why: group.nodes for group in groups}

    assert proposed(made)["the same label"] == (features[0], features[3])
    assert "the same label" not in proposed(made, (features[0],))
    # Two of one layer and position, of which one adds twice what the other adds, are used alike.
    one, other = next(
        (a, b)
        for a, b in itertools.pairwise(features)
        if made.nodes.position[a] == made.nodes.position[b]
        and not {made.nodes.index[a], made.nodes.index[b]} & {0, 3, 4, 22}  # fire twice
    )
    edges = made.edges
    keep = edges.source != other
    twin = edges.source == one
    alike = replace(
        made,
        edges=Edges(
            np.concatenate([edges.source[keep], np.full(twin.sum(), other, np.int32)]),
            np.concatenate([edges.target[keep], edges.target[twin]]),
            np.concatenate([edges.weight[keep], 2 * edges.weight[twin]]),
        ),
    )
    groups = proposals(alike, kept, influence, {}, titles, frozenset())
    assert any({one, other} <= set(group.nodes) for group in groups)
    # One feature at two tokens.
    index = made.nodes.index.copy()
    index[other] = index[one]
    twice = replace(made, nodes=replace(made.nodes, index=index))
    groups = proposals(twice, kept, influence, {}, titles, frozenset())
    (again,) = [group for group in groups if {one, other} <= set(group.nodes)]
    assert again.why == "one feature, at several tokens"


def test_a_proposal_becomes_a_group(site: Client, kept: str) -> None:
    view = site.store.dictionary("demo", "mlp-12")
    nodes = circuits.graph().nodes
    own = np.flatnonzero((nodes.kind == NodeKind.FEATURE) & (nodes.place == 0)).tolist()
    pair = [node for node in own if nodes.index[node] != nodes.index[own[0]]][:1] + own[:1]
    for node in pair:
        site.store.labels.add(view, int(nodes.index[node]), "the very same")
    page = site.get(f"{kept}?share=1").text
    assert "the same label" in words(page)
    ids = ",".join(map(str, sorted(pair)))
    site.post(kept, {"do": "group", "nodes": ids, "title": "the very same"})
    assert 'value="' + ids + '"' not in site.get(f"{kept}?share=1").text


def test_a_node_is_held_against_the_real_model(
    site: Client, tracing: PretendTracing, kept: str
) -> None:
    graph = circuits.graph()
    node = int(np.bincount(graph.edges.source).argmax())
    page = site.get(f"{kept}?node={node}&check=1")
    said = words(page.text)
    assert "the targets lose +0.125" in said
    assert "not confirmed" in said
    (request,) = tracing.asked
    assert isinstance(request, CheckGraphRequest)
    assert request.model.dtype == "float32"
    assert [part.reference.path is None for part in request.dictionaries] == [False, True]
    part = unpack_graph(request.graph)
    assert set(part.edges.source.tolist()) == {part.edges.source[0]}
    assert part.tokens.tolist() == graph.tokens.tolist()
    told = site.get(f"/api/v1{kept}/nodes/{node}/check").json()
    own = {
        int(target): float(weight)
        for source, target, weight in zip(
            graph.edges.source, graph.edges.target, graph.edges.weight, strict=True
        )
        if source == node
    }
    assert {link["node"]: link["weight"] for link in told["links"]}.items() <= own.items()
    assert told["total"] == 0.125
    assert told["predicted"] == pytest.approx(float(predicted_effects(graph)[node]))
    for link in told["links"]:
        assert link["confirmed"] == (link["direct"] == pytest.approx(0.6 * link["weight"]))
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).graphs
    assert client.check("demo", kept.rpartition("/")[2], node).total == 0.125


def test_what_cannot_be_taken_out_is_a_sentence(site: Client, kept: str) -> None:
    logit = len(circuits.graph().nodes) - 1
    page = site.get(f"{kept}?node={logit}&check=1")
    assert page.status_code == 200
    assert "Choose a node that adds to something" in words(page.text)
    foreign = site.http.post(
        "/api/v1/m/far/graphs", content=site.get(f"/api/v1{kept}/file").content
    )
    answer = site.get(f"/api/v1{foreign.json()['address']}/nodes/8/check")
    assert answer.status_code == 422
    assert "does not have the model" in answer.json()["detail"]
    assert site.get(f"/api/v1{kept}/nodes/-1/check").status_code == 404


def test_a_graph_is_judged_beside_random_features(
    site: Client, tracing: PretendTracing, kept: str
) -> None:
    assert "Keep them alone, and take them out" in words(site.get(kept).text)
    page = site.get(f"{kept}?judge=1")
    assert "Are these features enough?" in words(page.text)
    assert 'class="plot"' in page.text
    (request,) = tracing.asked
    assert isinstance(request, JudgeGraphRequest)
    n = int((circuits.graph().nodes.kind == NodeKind.FEATURE).sum())
    assert request.sizes[0] == 1
    assert request.sizes[-1] == n
    told = site.get(f"/api/v1{kept}/faithfulness").json()
    assert [row["size"] for row in told["rows"]] == list(request.sizes)
    assert told["rows"][-1]["kept"] == 1.0
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).graphs
    assert client.faithfulness("demo", kept.rpartition("/")[2]).gap == 1.5


def test_a_graph_that_is_too_large_is_not_judged(
    site: Client, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.pages.graph.view.judged.LARGEST", 100)
    page = site.get(f"{kept}?judge=1")
    assert page.status_code == 200
    assert "too many to be judged here" in words(page.text)
