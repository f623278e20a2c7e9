"""Graphs over a worker that pretends: the form, the stream, the page, pins, groups, files."""

from __future__ import annotations

import json
import re

import pytest

from app.client import FeaturescopeClient, RequestFailed
from app.errors import InvalidRequest
from app.worker.protocol.requests import GraphRequest
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend import circuits
from tests.app.pretend.circuits import PretendTracing
from tests.app.pretend.clients import HX, Client

API = "/api/v1/m/demo"


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
    answer = site.post(
        "/m/demo/graph", [("text", "def f\r\n"), ("target", "self"), ("d", "mlp-12")]
    )
    assert answer.status_code == 303, words(answer.text)
    request = asked(tracing)
    assert request.prompt == "def f\n"
    assert request.targets == (1,)
    assert [part.name for part in request.dictionaries] == ["mlp-12"]
    assert request.model.dtype == "float32"
    assert site.get(answer.headers["location"]).status_code == 200
    again = site.post("/m/demo/graph", [("text", "def f\n"), ("target", "id:1"), ("d", "mlp-12")])
    assert again.headers["location"] == answer.headers["location"]
    assert len(tracing.asked) == 1
    assert words(site.get("/m/demo/graphs").text).count("6 tokens") >= 1


def test_without_transcoders_every_layer_has_its_neurons(
    site: Client, tracing: PretendTracing
) -> None:
    site.post("/m/demo/graph", [("text", "x = ")])
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
    answer = site.post("/m/demo/graph", fields)
    assert answer.status_code in (404, 422), answer.status_code
    assert sentence in words(answer.text)
    assert "<textarea" in answer.text
    assert tracing.asked == []


def test_the_worker_says_no_in_the_form_and_in_the_stream(
    site: Client, tracing: PretendTracing
) -> None:
    tracing.error = InvalidRequest("A graph needs at least two tokens.", "prompt")
    answer = site.post("/m/demo/graph", [("text", "z")])
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
    answer = site.post(kept, {"do": "pin", "node": "7", "at": "7"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{kept}?node=7")
    marks = site.post(kept, {"do": "pin", "nodes": "8,9"}, **HX)
    assert 'data-pinned="7,8,9"' in marks.text
    marks = site.post(kept, {"do": "group", "nodes": "7,8", "title": "<b>names"}, **HX)
    assert "&lt;b&gt;names" in marks.text
    assert "Between them" in marks.text
    told = site.get(f"/api/v1{kept}").json()
    (group,) = told["groups"]
    assert group["nodes"] == [7, 8]
    site.http.put(f"/api/v1{kept}/groups/{group['id']}", json={"title": "n", "nodes": [8]})
    assert site.http.put(f"/api/v1{kept}/pins", json={"nodes": []}).json()["pinned"] == []
    assert site.http.delete(f"/api/v1{kept}/groups/{group['id']}").json()["groups"] == []
    made = site.http.post(f"/api/v1{kept}/groups", json={"title": "m", "nodes": [9]}).json()
    site.post(kept, {"do": "ungroup", "group": made["groups"][0]["id"]})
    assert site.get(f"/api/v1{kept}").json()["groups"] == []


def test_titles_and_putting_away(site: Client, kept: str) -> None:
    site.post(kept, {"do": "describe", "title": "New <b>", "note": "for the paper"})
    assert "New &lt;b&gt;" in site.get(kept).text
    site.post(kept, {"do": "put-away"})
    assert "was put away" in site.get(kept).text
    assert site.http.post(f"/api/v1{kept}/restore").json()["withdrawn"] is False
    described = site.http.put(f"/api/v1{kept}", json={"title": "Again"}).json()
    assert described["title"] == "Again"
    assert site.http.delete(f"/api/v1{kept}").status_code == 204
    site.post(kept, {"do": "restore"})


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
        answer = site.post(kept, fields)
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
    assert "does not have the model" in words(page.text)
    assert "new graph" not in words(page.text)
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
