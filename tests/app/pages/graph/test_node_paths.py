"""One node of a graph looked at closely, over a worker that pretends."""

from __future__ import annotations

import re

import numpy as np

from app.client import FeaturescopeClient
from sae_core.circuits.graph import NodeKind
from sae_core.circuits.packing import unpack_graph
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend import circuits
from tests.app.pretend.circuits import PretendTracing
from tests.app.pretend.clients import Client

FEATURES = np.flatnonzero(circuits.graph().nodes.kind == NodeKind.FEATURE).tolist()
NODE = FEATURES[5]


def test_the_ways_of_a_node_and_their_sum(site: Client, tracing: PretendTracing, kept: str) -> None:
    assert "how it gets there" in words(site.get(f"{kept}?node={NODE}").text)
    said = words(site.get(f"{kept}?node={NODE}&look=ways").text)
    assert "loses +0.688 in the real model" in said
    assert "attention and norms of layer 0" in said
    (request,) = tracing.asked
    # Nodes are all that the worker needs.
    assert len(unpack_graph(request.graph).edges) == 0  # type: ignore[attr-defined]
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).graphs
    ways = client.ways("demo", kept.rpartition("/")[2], NODE)
    assert sum(way.weight for way in ways.ways) == ways.total
    assert sum(part.weight for part in ways.edge) == ways.ways[0].weight


def test_what_a_node_is_made_of_and_why_there(site: Client, kept: str) -> None:
    page = site.get(f"{kept}?node={NODE}&look=parts")
    said = words(page.text)
    assert "Its activation is 3" in said
    assert "head 1.0 brings" in said
    assert "why there" in said
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).graphs
    name = kept.rpartition("/")[2]
    parts = client.parts("demo", name, NODE)
    assert round(sum(part.weight for part in parts.parts), 5) == parts.value
    score = client.score("demo", name, NODE, "1.0", 0)
    assert score.caveat == "It is capped."
    assert sum(part.weight for part in score.asks) == score.score
    assert [pair.weight for pair in score.pairs] == [2.0, -0.5, 0.5]
    said = words(site.get(f"{kept}?node={NODE}&look=score&head=1.0&key=0").text)
    assert "Why head 1.0 looks there" in said
    assert "× biases" in said


def test_targets_move_with_a_node_or_a_group(site: Client, kept: str) -> None:
    said = words(site.get(f"{kept}?node={NODE}&scale=0.5").text)
    assert re.search(r"50(\.0)?\s%", said)
    assert re.search(r"25(\.0)?\s%", said)
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).graphs
    first, _ = client.scale("demo", kept.rpartition("/")[2], [NODE], 0.0).targets
    assert (first.before, first.after, first.random) == (5.0, 0.0, 4.5)
    assert first.probability_after == 0.0


def test_what_cannot_be_looked_at_is_a_sentence(site: Client, kept: str) -> None:
    logit = len(circuits.graph().nodes) - 1
    assert "A logit has no effect" in words(site.get(f"{kept}?node={logit}&look=ways").text)
    assert "Only features and logits" in words(site.get(f"{kept}?node=0&look=parts").text)
    assert "names no head" in words(site.get(f"{kept}?node={NODE}&look=score&head=x").text)
    assert "Only features of the graph" in words(site.get(f"{kept}?node=0&scale=0").text)
    for wrong in ("scaled?nodes=0", "scaled?nodes=8&factor=99", "scaled?nodes=x"):
        assert site.get(f"/api/v1{kept}/{wrong}").status_code == 422
    assert site.get(f"/api/v1{kept}/nodes/{NODE}/ways?target=9999").status_code == 422
    assert site.get(f"/api/v1{kept}/nodes/{NODE}/score?head=0.0&key=99").status_code == 422
