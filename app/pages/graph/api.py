"""Graphs as JSON: a stream while one is computed, its nodes and edges, pins and groups."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from app.exchange.neuronpedia.graphs.keep import keep_file
from app.exchange.neuronpedia.graphs.write import graph_json
from app.pages.graph import answers
from app.pages.graph import schema as types
from app.pages.graph.asking import graph_task
from app.pages.graph.query import GraphQuery
from app.pages.graph.questions import GraphQuestion
from app.pages.graph.stream import GraphSpeech, at_once, ready
from app.pages.graph.view.checks import node_check
from app.pages.graph.view.judged import judgement
from app.pages.graph.view.page import graph_page
from app.pages.graph.view.ways import node_parts, node_ways, scaled, score_parts
from app.web.live.stream import LiveStream
from app.web.model import TheModel
from app.web.parameters import whole_number
from app.web.routes import FileRoute, PatientRoute
from app.web.schema import ERRORS
from app.web.site import TheSite
from app.worker.protocol.paths import MOST_FACTOR

router = APIRouter(
    prefix="/api/v1/m/{model}", tags=["graphs"], responses=ERRORS, route_class=PatientRoute
)
files = APIRouter(route_class=FileRoute)


async def _body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_body)]
Number = Annotated[int, Path(ge=0, lt=2**31)]
_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}}}}
_EXAMPLE = """\
event: began
data: {"event":"began","tokens":12,"features":1500,"memory":48000000,"sentence":"12 tokens, up to 1,500 features; takes up to 48.0 MB besides the weights."}

event: ready
data: {"event":"ready","name":"def-f","address":"/m/demo/graph/def-f"}

event: done
data: {"event":"done"}
"""  # noqa: E501
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "model": types.GraphEvent,
        "description": "Server-sent events: one `began`, a `step` now and then, one `ready`; the "
        "last is `done` or `failed`. Closing the connection ends the work.",
        "content": {LiveStream.media_type: {"example": _EXAMPLE}},
    }
}


@router.get("/graphs")
def graphs(model: str, site: TheSite) -> types.GraphList:
    """The graphs of a model that are kept.

    \f
    For example /api/v1/m/demo/graphs
    """
    return types.GraphList(graphs=[answers.summary(view) for view in site.store.graphs.all(model)])


@router.post("/graph", status_code=200, response_class=LiveStream, responses=_STREAM)
def trace(question: GraphQuestion, model: TheModel, site: TheSite) -> Response:
    """Compute a graph and keep it; what was asked before is there at once.

    \f
    For example /api/v1/m/demo/graph
    with {"prompt": "def f"}
    """
    task = graph_task(model, question)
    if (there := model.store.graphs.asked(task.question)) is not None:
        return LiveStream(at_once(), lambda _: ready(there))
    return LiveStream(site.live.ask(task.request), GraphSpeech(model, task).say)


@files.post(
    "/graphs",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {}}}},
)
def take(model: str, body: Body, site: TheSite) -> types.GraphSummary:
    """Keep a graph from a file as Neuronpedia and circuit-tracer write it, up to 16 MiB. The model
    need not be in the store.

    \f
    For example /api/v1/m/demo/graphs
    with {"metadata": {}, "qParams": {}, "nodes": [], "links": []}
    """
    return answers.summary(keep_file(site.store, body, model, "a file of Neuronpedia's form"))


@router.get("/graph/{name}/file", response_class=StreamingResponse, responses=_FILE)
def file(
    model: str,
    name: str,
    site: TheSite,
    share: Annotated[
        float | None,
        Query(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="Of all influence, that the nodes in the file carry; null: all nodes.",
        ),
    ] = None,
) -> Response:
    """A graph as Neuronpedia's JSON, which circuit-tracer's page opens, too.

    \f
    For example /api/v1/m/demo/graph/def-f/file?share=0.8
    """
    page = graph_page(site, model, name)
    text = graph_json(page.view, page.graph, page.names.written(), share)
    headers = {"Content-Disposition": 'attachment; filename="graph.json"'}
    return StreamingResponse(text, headers=headers, media_type="application/json")


@router.get("/graph/{name}")
def graph(model: str, name: str, site: TheSite) -> types.GraphAnswer:
    """A graph with its nodes and edges.

    \f
    For example /api/v1/m/demo/graph/def-f
    """
    return answers.graph(graph_page(site, model, name))


@router.get("/graph/{name}/nodes/{node}/check")
def check(model: str, name: str, node: Number, site: TheSite) -> types.NodeCheckAnswer:
    """Take a node out of the real model, and look at what it adds to.

    \f
    For example /api/v1/m/demo/graph/def-f/nodes/3/check
    """
    page = graph_page(site, model, name, GraphQuery(node=node))
    return types.NodeCheckAnswer.model_validate(node_check(site, page))


@router.get("/graph/{name}/nodes/{node}/ways")
def ways(
    model: str,
    name: str,
    node: Number,
    site: TheSite,
    target: Annotated[
        Annotated[int, Query(ge=0, lt=2**31)] | None,
        Query(description="A feature or logit; null: the graph's first target."),
    ] = None,
) -> types.NodeWaysAnswer:
    """By which ways a node reaches a target: the real model, one part after the other.

    \f
    For example /api/v1/m/demo/graph/def-f/nodes/3/ways
    """
    page = graph_page(site, model, name, GraphQuery(node=node))
    return types.NodeWaysAnswer.model_validate(node_ways(site, page, target))


@router.get("/graph/{name}/nodes/{node}/parts")
def parts(model: str, name: str, node: Number, site: TheSite) -> types.NodePartsAnswer:
    """What a node is made of: what is written straight where it reads, and through which heads.

    \f
    For example /api/v1/m/demo/graph/def-f/nodes/3/parts
    """
    page = graph_page(site, model, name, GraphQuery(node=node))
    return types.NodePartsAnswer.model_validate(node_parts(site, page))


@router.get("/graph/{name}/nodes/{node}/score")
def score(
    model: str,
    name: str,
    node: Number,
    site: TheSite,
    head: Annotated[str, Query(max_length=12, description="layer.head")],
    key: Annotated[int, Query(ge=0, lt=2**31, description="Position that it looks at.")],
) -> types.ScorePartsAnswer:
    """Why a head looks from a node's position to another.

    \f
    For example /api/v1/m/demo/graph/def-f/nodes/3/score?head=0.1&key=1
    """
    page = graph_page(site, model, name, GraphQuery(node=node))
    return types.ScorePartsAnswer.model_validate(score_parts(site, page, head, key))


@router.get("/graph/{name}/scaled")
def scale(
    model: str,
    name: str,
    site: TheSite,
    nodes: Annotated[str, Query(max_length=20_000, description="Features, with commas.")],
    factor: Annotated[
        float,
        Query(ge=-MOST_FACTOR, le=MOST_FACTOR, allow_inf_nan=False, description="0: taken out."),
    ] = 0.0,
) -> types.ScaledAnswer:
    """The targets in the real model where some features write so many times what they do.

    \f
    For example /api/v1/m/demo/graph/def-f/scaled?nodes=8,9&factor=0
    """
    chosen = tuple(whole_number(part) for part in nodes.split(","))
    targets = scaled(site, graph_page(site, model, name), chosen, factor)
    return types.ScaledAnswer.model_validate({"targets": targets})


@router.get("/graph/{name}/faithfulness")
def faithfulness(model: str, name: str, site: TheSite) -> types.JudgementAnswer:
    """Keep the strongest features of a graph alone, and take them out, in the real model.

    \f
    For example /api/v1/m/demo/graph/def-f/faithfulness
    """
    return types.JudgementAnswer.model_validate(judgement(site, graph_page(site, model, name)))


@router.put("/graph/{name}")
def describe(
    model: str, name: str, question: types.DescribeQuestion, site: TheSite
) -> types.GraphSummary:
    """Give a graph another title and note. Its address stays.

    \f
    For example /api/v1/m/demo/graph/def-f
    with {"title": "Arguments", "note": "for the paper"}
    """
    return answers.summary(site.store.graphs.describe(model, name, question.title, question.note))


@router.delete("/graph/{name}", status_code=204, response_class=Response)
def put_away(model: str, name: str, site: TheSite) -> None:
    """Put a graph away. Nothing of it is lost.

    \f
    For example /api/v1/m/demo/graph/def-f
    """
    site.store.graphs.put_away(model, name)


@router.post("/graph/{name}/restore")
def restore(model: str, name: str, site: TheSite) -> types.GraphSummary:
    """Take a graph up again that was put away.

    \f
    For example /api/v1/m/demo/graph/def-f/restore
    """
    return answers.summary(site.store.graphs.put_away(model, name, withdrawn=False))


@router.put("/graph/{name}/pins")
def pin(model: str, name: str, question: types.PinsQuestion, site: TheSite) -> types.GraphSummary:
    """Keep these nodes in view, and no others.

    \f
    For example /api/v1/m/demo/graph/def-f/pins
    with {"nodes": [12, 40]}
    """
    return answers.summary(site.store.graphs.pin(model, name, question.nodes))


@router.post("/graph/{name}/groups")
def group(
    model: str, name: str, question: types.GroupQuestion, site: TheSite
) -> types.GraphSummary:
    """Put nodes together under a title. Each node is in one group: others lose it.

    \f
    For example /api/v1/m/demo/graph/def-f/groups
    with {"title": "names", "nodes": [12, 40]}
    """
    return answers.summary(site.store.graphs.group(model, name, question.title, question.nodes))


@router.put("/graph/{name}/groups/{group_id}")
def regroup(
    model: str, name: str, group_id: str, question: types.GroupQuestion, site: TheSite
) -> types.GraphSummary:
    """Give a group another title and other nodes.

    \f
    For example /api/v1/m/demo/graph/def-f/groups/0123
    with {"title": "names", "nodes": [12, 40]}
    """
    made = site.store.graphs.group(model, name, question.title, question.nodes, group_id)
    return answers.summary(made)


@router.delete("/graph/{name}/groups/{group_id}")
def ungroup(model: str, name: str, group_id: str, site: TheSite) -> types.GraphSummary:
    """Take a group apart.

    \f
    For example /api/v1/m/demo/graph/def-f/groups/0123
    """
    return answers.summary(site.store.graphs.ungroup(model, name, group_id))


router.include_router(files)
