"""Graphs over a worker that pretends: the form, the stream, the page, pins, groups, files."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest

from app.client import FeaturescopeClient, RequestFailed
from app.errors import InvalidRequest
from app.pages.graph.view.proposals import proposals
from app.worker.protocol.requests import CheckGraphRequest, GraphRequest, JudgeGraphRequest
from sae_core.circuits.graph import Edges, Graph, NodeKind
from sae_core.circuits.influence import predicted_effects
from sae_core.circuits.packing import unpack_graph
from tests.app.pages.test_pages import text as words
from tests.app.pretend import circuits
from tests.app.pretend.circuits import PretendTracing
from tests.app.pretend.clients import HX, Client, filled

API = "/api/v1/m/demo"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def tracing() -> PretendTracing:
    return PretendTracing()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, tracing: PretendTracing) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("graphs"), tracing) as made:
        yield made


@pytest.fixture
def site(shared: Client, tracing: PretendTracing) -> Client:
    tracing.error = None
    tracing.asked.clear()
    return shared


@pytest.fixture(scope="module")
def kept(shared: Client) -> str:
    """The address of a graph, whose first dictionary is the store's own."""
    return f"/m/demo/graph/{shared.store.graphs.save(circuits.record(circuits.graph())).name}"


def post(site: Client, address: str, fields: object, **headers: str) -> httpx.Response:
    return site.http.post(
        address,
        content=urlencode(fields),  # type: ignore[arg-type]
        headers=FORM | headers,
        follow_redirects=False,
    )


def asked(tracing: PretendTracing) -> GraphRequest:
    (request,) = tracing.asked
    assert isinstance(request, GraphRequest)
    return request


def test_a_form_leads_to_the_graph_and_the_same_question_computes_nothing(
    site: Client, tracing: PretendTracing
) -> None:
    page = site.get("/m/demo/graph?text=def+f&target=+self&d=mlp-12")
    assert page.status_code == 200
    assert 'value="mlp-12" checked' in page.text
    answer = post(
        site, "/m/demo/graph", [("text", "def f\r\n"), ("target", "self"), ("d", "mlp-12")]
    )
    assert answer.status_code == 303, words(answer.text)
    request = asked(tracing)
    assert request.prompt == "def f\n"
    assert request.targets == (1,)
    assert [part.name for part in request.dictionaries] == ["mlp-12"]
    assert request.model.dtype == "float32"
    assert site.get(answer.headers["location"]).status_code == 200
    again = post(site, "/m/demo/graph", [("text", "def f\n"), ("target", "id:1"), ("d", "mlp-12")])
    assert again.headers["location"] == answer.headers["location"]
    assert len(tracing.asked) == 1
    assert words(site.get("/m/demo/graphs").text).count("6 tokens") >= 1


def test_without_transcoders_every_layer_has_its_neurons(
    site: Client, tracing: PretendTracing
) -> None:
    post(site, "/m/demo/graph", [("text", "x = ")])
    parts = asked(tracing).dictionaries
    n_layers = site.store.dictionary("demo", "mlp-12").n_layers
    assert [part.reference.hook_point for part in parts] == [
        f"blocks.{layer}.mlp.hook_post" for layer in range(n_layers)
    ]
    assert all(part.reference.path is None for part in parts)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ([], "needs a prompt"),
        ([("text", "x"), ("target", "no such token")], "is not one token of this model"),
        ([("text", "x"), ("target", "id:99999999")], "is not one token"),
        ([("text", "x"), ("nodes", "many")], "no whole number"),
        ([("text", "x"), ("nodes", "0")], "max_nodes cannot be used"),
        ([("text", "x"), ("memory", "nan")], "memory cannot be used"),
        ([("text", "x"), ("memory", "much")], "no number"),
        ([("text", "x"), ("d", "nothing")], "has no dictionary"),
        ([("text", "x"), ("d", "")], "name"),
        ([("text", "x"), ("feature", "mlp-12")], "names no feature at a token"),
        ([("text", "x"), ("d", "mlp-12"), ("feature", "mlp-12:99@1")], "there is no feature 99"),
        ([("text", "x"), ("d", "mlp-12"), ("feature", "other:1@1")], "not among the dictionaries"),
        ([("text", "x"), ("d", "mlp-12"), ("d", "neurons"), ("text", "x" * 200_001)], "prompt"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence_beside_the_form(
    site: Client, tracing: PretendTracing, fields: list[tuple[str, str]], sentence: str
) -> None:
    answer = post(site, "/m/demo/graph", fields)
    assert answer.status_code in (404, 422), answer.status_code
    assert sentence in words(answer.text)
    assert "<textarea" in answer.text
    assert tracing.asked == []


def test_the_worker_says_no_in_the_form_and_in_the_stream(
    site: Client, tracing: PretendTracing
) -> None:
    tracing.error = InvalidRequest("A graph needs at least two tokens.", "prompt")
    answer = post(site, "/m/demo/graph", [("text", "z")])
    assert answer.status_code == 422
    assert "needs at least two tokens" in words(answer.text)
    stream = site.http.post(f"{API}/graph", json={"prompt": "z"}).text
    assert '"event":"began"' in stream
    assert '"event":"failed"' in stream
    assert '"field":"prompt"' in stream


def test_a_stream_says_what_it_takes_and_where_the_graph_is(site: Client) -> None:
    for step in (True, False):  # the second time it is there already
        stream = site.http.post(f"{API}/graph", json={"prompt": "def stream"}).text
        events = [json.loads(line[6:]) for line in stream.splitlines() if line[:6] == "data: "]
        names = [event["event"] for event in events]
        assert names == (["began", "step", "ready", "done"] if step else ["ready", "done"])
        assert site.get(events[-2]["address"]).status_code == 200
    assert "48.0 MB besides the weights" in events[0].get("sentence", "48.0 MB besides the weights")


@pytest.mark.parametrize("body", [{}, {"prompt": "x", "nodes": 3}, {"prompt": "\ud800"}, []])
def test_a_program_that_asks_nonsense_hears_a_sentence(site: Client, body: object) -> None:
    answer = site.http.post(f"{API}/graph", content=json.dumps(body))
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_the_page_has_the_nodes_in_words(site: Client, kept: str) -> None:
    page = site.get(f"{kept}?share=1&node=8")
    said = words(page.text)
    assert page.status_code == 200
    assert "of 35 nodes" in said or re.search(r"\d+ of \d+ nodes", said)
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text
    assert "made of" in said
    assert "adds to" in said
    view = site.store.dictionary("demo", "mlp-12")
    site.store.labels.add(view, _a_feature(site, kept), "method <i>names</i>")
    labelled = site.get(f"{kept}?share=1").text
    assert "method &lt;i&gt;names&lt;/i&gt;" in labelled


def _a_feature(site: Client, kept: str) -> int:
    told = site.get(f"/api/v1{kept}").json()["nodes"]
    return next(
        index
        for index, kind, place in zip(told["index"], told["kind"], told["place"], strict=True)
        if kind == 1 and place == 0
    )


def test_the_json_has_all_that_the_picture_needs(site: Client, kept: str) -> None:
    told = site.get(f"/api/v1{kept}").json()
    graph = circuits.graph()
    assert told["nodes"]["kind"] == graph.nodes.kind.tolist()
    assert len(told["edges"]["weight"]) == len(graph.edges)
    assert told["edges_left"] == 0
    assert told["tokens"][1] == "␣self"
    assert told["tokens"][4] == "U+202Egnp.exe"
    assert told["dictionaries"][0]["address"] == "/d/demo/mlp-12"
    assert told["dictionaries"][1]["address"] == ""
    assert 0 < told["replacement"] <= 1
    assert max(told["nodes"]["share"]) <= 1.0 + 1e-6


def test_pins_and_groups_are_kept(site: Client, kept: str) -> None:
    answer = post(site, kept, {"do": "pin", "node": "7", "at": "7"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{kept}?node=7")
    marks = post(site, kept, {"do": "pin", "nodes": "8,9"}, **HX)
    assert 'data-pinned="7,8,9"' in marks.text
    marks = post(site, kept, {"do": "group", "nodes": "7,8", "title": "<b>names"}, **HX)
    assert "&lt;b&gt;names" in marks.text
    assert "Between them" in marks.text
    told = site.get(f"/api/v1{kept}").json()
    (group,) = told["groups"]
    assert group["nodes"] == [7, 8]
    site.http.put(f"/api/v1{kept}/groups/{group['id']}", json={"title": "n", "nodes": [8]})
    assert site.http.put(f"/api/v1{kept}/pins", json={"nodes": []}).json()["pinned"] == []
    assert site.http.delete(f"/api/v1{kept}/groups/{group['id']}").json()["groups"] == []
    made = site.http.post(f"/api/v1{kept}/groups", json={"title": "m", "nodes": [9]}).json()
    post(site, kept, {"do": "ungroup", "group": made["groups"][0]["id"]})
    assert site.get(f"/api/v1{kept}").json()["groups"] == []


def test_titles_and_putting_away(site: Client, kept: str) -> None:
    post(site, kept, {"do": "describe", "title": "New <b>", "note": "for the paper"})
    assert "New &lt;b&gt;" in site.get(kept).text
    post(site, kept, {"do": "put-away"})
    assert "was put away" in site.get(kept).text
    assert site.http.post(f"/api/v1{kept}/restore").json()["withdrawn"] is False
    described = site.http.put(f"/api/v1{kept}", json={"title": "Again"}).json()
    assert described["title"] == "Again"
    assert site.http.delete(f"/api/v1{kept}").status_code == 204
    post(site, kept, {"do": "restore"})


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (404, "?node=9999"),
        (404, "?page=99"),
        (422, "?share=2"),
        (422, "?share=nan"),
        (422, "?node=x"),
        (422, "/node/x"),
        (404, "/node/999"),
    ],
)
def test_wrong_addresses_are_sentences(site: Client, kept: str, status: int, path: str) -> None:
    answer = site.http.get(kept + path, headers=HX if "/node" in path else {})
    assert answer.status_code == status, words(answer.text)


def test_wrong_deeds_are_sentences(site: Client, kept: str) -> None:
    for fields, sentence in (
        ({"do": "dance"}, "cannot be asked to"),
        ({"do": "pin", "node": "x"}, "no number here"),
        ({"do": "pin", "node": "999"}, "there is no node 999"),
        ({"do": "group", "nodes": "", "title": "x"}, "at least one node"),
        ({"do": "group", "nodes": "1", "title": " "}, "at least one character"),
    ):
        answer = post(site, kept, fields)
        assert answer.status_code == 422
        assert sentence in words(answer.text)
    assert site.get("/m/demo/graph/nothing").status_code == 404
    assert site.get("/m/nobody/graph").status_code == 404
    assert "There is none yet" in words(site.get("/m/nobody/graphs").text)


def test_fragments_are_parts_of_the_page(site: Client, kept: str) -> None:
    assert 'id="graph-table"' in site.fragment(f"{kept}/table?share=0.5").text
    assert site.get(f"{kept}/table?share=0.5").headers["location"] == f"{kept}?share=0.5"
    node = site.fragment(f"{kept}/node/8").text
    assert 'id="graph-node"' in node
    assert "<html" not in node
    assert site.get(f"{kept}/node/8").headers["location"] == f"{kept}?node=8"


def test_a_file_out_and_in_is_the_same_graph(site: Client, kept: str) -> None:
    file = site.get(f"/api/v1{kept}/file")
    assert file.headers["content-disposition"].startswith("attachment")
    taken = site.http.post("/api/v1/m/demo/graphs", content=file.content).json()
    assert taken["address"] == kept  # the very same is kept once
    other = site.http.post("/api/v1/m/elsewhere/graphs", content=file.content).json()
    assert other["address"].startswith("/m/elsewhere/graph/")
    page = site.get(other["address"])
    assert page.status_code == 200
    assert "file of Neuronpedia" in words(page.text)
    assert site.get(f"/api/v1{kept}/file?share=0.5").json()["nodes"]
    wrong = site.http.post("/api/v1/m/demo/graphs", content=b"{}")
    assert (wrong.status_code, "cannot be read" in wrong.json()["detail"]) == (422, True)


def test_a_file_that_is_too_long_is_refused_before_it_is_read(site: Client) -> None:
    answer = site.http.post(
        "/api/v1/m/demo/graphs", content=b"x", headers={"Content-Length": str(500 * 2**20)}
    )
    assert answer.status_code == 413
    assert "16 MiB" in answer.json()["detail"]


def test_the_client_has_a_twin_of_every_address(site: Client, kept: str) -> None:
    graphs = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).graphs
    events = list(graphs.trace("demo", "def client", targets=[" self"], dictionaries=["mlp-12"]))
    assert [event.event for event in events] == ["began", "step", "ready"]
    name = events[-1].name  # type: ignore[union-attr]
    assert name in [summary.name for summary in graphs.all("demo")]
    nodes = graphs.of("demo", name).nodes.kind
    assert graphs.pin("demo", name, [7]).pinned == [7]
    (group,) = graphs.group("demo", name, "a", [7, 8]).groups
    assert graphs.group("demo", name, "b", [8], group.id).groups[0].title == "b"
    assert graphs.ungroup("demo", name, group.id).groups == []
    assert graphs.describe("demo", name, "T").title == "T"
    assert graphs.take("other", graphs.file("demo", name)).model == "other"
    assert len(graphs.file("demo", name)["nodes"]) == len(nodes)
    assert len(graphs.file("demo", name, 0.3)["nodes"]) < len(nodes)
    graphs.put_away("demo", name)
    assert not graphs.restore("demo", name).withdrawn
    with pytest.raises(RequestFailed, match="no graph"):
        graphs.of("demo", "nothing")
    with pytest.raises(RequestFailed, match="needs at least one node"):
        graphs.group("demo", name, "empty", [])
    with pytest.raises(RequestFailed, match="cannot be read"):
        graphs.take("demo", {})


def test_the_prompt_page_leads_there(site: Client) -> None:
    page = site.get("/m/demo/prompt").text
    assert 'href="/m/demo/graph"' in page


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
    post(site, kept, {"do": "group", "nodes": ids, "title": "the very same"})
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
