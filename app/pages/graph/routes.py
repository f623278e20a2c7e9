"""The form of a graph, the graphs of a model, and the page of each."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from app.errors import FeaturescopeError, InvalidRequest
from app.pages.graph.asking import graph_task, keep
from app.pages.graph.form import GraphForm
from app.pages.graph.query import GraphQuery, TheGraphQuery
from app.pages.graph.questions import submitted
from app.pages.graph.view.checks import node_check
from app.pages.graph.view.judged import judgement
from app.pages.graph.view.page import GraphPage, graph_page
from app.pages.graph.view.ways import (
    node_parts,
    node_ways,
    scaled,
    scaled_nodes,
    score_parts,
)
from app.rendering.addresses import graph_address, model_page_address
from app.web.errors import status_of
from app.web.model import AddressedModel, TheModel
from app.web.parameters import Form, whole_number
from app.web.routes import PatientRoute
from app.web.site import Fragment, Site, TheSite
from app.worker.protocol.events import GraphTraced

router = APIRouter(prefix="/m/{model}", route_class=PatientRoute)


@router.get("/graphs")
def graphs(model: str, site: TheSite) -> Response:
    """The graphs of a model that are kept.

    For example /m/demo/graphs
    """
    views = site.store.graphs.all(model)
    known = any(view.model == model for view in site.store.catalogue())
    circuits = site.store.graphs.circuits.all(model)
    return site.renderer.html(
        "graph/graphs.html", model=model, graphs=views, circuits=circuits, known=known
    )


@router.get("/graph")
def form(request: Request, model: TheModel, site: TheSite) -> Response:
    """What a graph is to be made of. Nothing is computed yet.

    For example /m/demo/graph?text=def%20f
    """
    return _form(site, GraphForm.read(model, request.query_params.multi_items()))


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/graph")
def ask(model: TheModel, site: TheSite, body: Annotated[bytes, Depends(_body)]) -> Response:
    """Compute a graph, or find it where the same was asked before, and go to its page. Scripts ask
    the JSON interface instead, which says how far it is.

    For example /m/demo/graph
    with the form text=def+f
    """
    text = body.decode("utf-8", "replace")
    fields = parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="replace")
    made = GraphForm.read(model, fields)
    try:
        name = _made(site, model, fields)
    except FeaturescopeError as error:
        return _form(site, made.refused(error), status_of(error))
    return RedirectResponse(graph_address(model.name, name), HTTPStatus.SEE_OTHER)


@router.get("/graph/{name}")
def graph(model: str, name: str, query: TheGraphQuery, site: TheSite) -> Response:
    """A graph: its picture, the table of its nodes, and the chosen one.

    For example /m/demo/graph/def-f?share=0.5&node=3
    """
    return _page(site, graph_page(site, model, name, query))


@router.get("/graph/{name}/table")
def table(
    model: str, name: str, query: TheGraphQuery, site: TheSite, fragment: Fragment
) -> Response:
    """The table alone, for a page whose slider was moved.

    For example /m/demo/graph/def-f/table?share=0.5
    """
    if not fragment:
        return RedirectResponse(query.address(site.store.graphs.view(model, name)), 303)
    page = graph_page(site, model, name, query)
    return site.renderer.html("graph/_table.html", page=page)


@router.get("/graph/{name}/node/{node}")
def node(
    model: str, name: str, node: str, site: TheSite, fragment: Fragment, check: str = ""
) -> Response:
    """One node: what it is, what it is made of and what it adds to; with `check=1` beside what the
    real model does without it.

    For example /m/demo/graph/def-f/node/3?check=1
    """
    query = GraphQuery(node=whole_number(node), check=check == "1")
    if not fragment:
        return RedirectResponse(query.address(site.store.graphs.view(model, name)), 303)
    page = graph_page(site, model, name, query)
    return site.renderer.html("graph/_node.html", **_context(site, page))


@router.post("/graph/{name}")
def change(model: str, name: str, site: TheSite, form: Form, fragment: Fragment) -> Response:
    """Describe a graph, put it away, pin nodes, and put them into groups.

    For example /m/demo/graph/def-f
    with the form do=pin&node=3
    """
    query = GraphQuery()
    try:
        node = form.get("at", "")
        query = GraphQuery(node=whole_number(node) if node else None)
        _do(site, model, name, form)
    except InvalidRequest as error:
        page = graph_page(site, model, name, query, str(error))
        return _page(site, page, int(HTTPStatus.UNPROCESSABLE_ENTITY))
    if fragment:
        page = graph_page(site, model, name, query)
        return site.renderer.html("graph/_marks.html", page=page)
    view = site.store.graphs.view(model, name)
    return RedirectResponse(query.address(view), HTTPStatus.SEE_OTHER)


def _made(site: Site, model: AddressedModel, fields: list[tuple[str, str]]) -> str:
    """The name of the graph that was asked for, once it is there."""
    task = graph_task(model, submitted(fields))
    if (there := site.store.graphs.asked(task.question)) is not None:
        return there.name
    events = site.waiters.all(site.live, task.request)
    traced = [event for event in events if isinstance(event, GraphTraced)]
    if not traced:
        raise InvalidRequest("The worker has answered without a graph; ask again.")
    return keep(model, task, traced[-1]).name


def _do(site: Site, model: str, name: str, form: Mapping[str, str]) -> None:
    graphs, deed = site.store.graphs, form.get("do", "")
    view = graphs.view(model, name)
    if deed == "describe":
        graphs.describe(model, name, form.get("title", ""), form.get("note", ""))
    elif deed in ("put-away", "restore"):
        graphs.put_away(model, name, deed == "put-away")
    elif deed == "pin":
        graphs.pin(model, name, {*view.pinned, *_nodes(form)})
    elif deed == "unpin":
        graphs.pin(model, name, {*view.pinned} - {*_nodes(form)})
    elif deed == "unpin-all":
        graphs.pin(model, name, ())
    elif deed == "group":
        nodes = _nodes(form)
        graphs.group(model, name, form.get("title", ""), nodes, form.get("group", ""))
        graphs.pin(model, name, {*view.pinned} - {*nodes})
    elif deed == "ungroup":
        graphs.ungroup(model, name, form.get("group", ""))
    else:
        raise InvalidRequest(f"A graph cannot be asked to {deed!r:.40}.", "do")


def _nodes(form: Mapping[str, str]) -> list[int]:
    """The nodes that a form names, one or several with commas."""
    written = form.get("nodes") or form.get("node", "")
    return [whole_number(part) for part in written.split(",") if part.strip()]


def _form(site: Site, made: GraphForm, status: int = 200) -> Response:
    status = 422 if made.problem and status == 200 else status
    back = model_page_address(made.of.name)
    return site.renderer.html("graph/ask.html", status, form=made, prompt_page=back)


def _page(site: Site, page: GraphPage, status: int = 200) -> Response:
    return site.renderer.html("graph/graph.html", status, **_context(site, page))


def _context(site: Site, page: GraphPage) -> dict[str, Any]:
    """What the page and its parts are drawn of."""
    made: dict[str, Any] = {"check": None, "check_problem": "", "judged": None, "judge_problem": ""}
    if page.query.check:
        try:
            made["check"] = node_check(site, page)
        except FeaturescopeError as error:
            made["check_problem"] = str(error)
    if page.query.judge:
        try:
            made["judged"] = judgement(site, page)
        except FeaturescopeError as error:
            made["judge_problem"] = str(error)
    return {"page": page, "typeset": _typeset(site, page), **made, **_close(site, page)}


def _close(site: Site, page: GraphPage) -> dict[str, Any]:
    """The chosen node looked at closely, and what is scaled."""
    query = page.query
    made: dict[str, Any] = {"close": None, "close_problem": "", "scaled": (), "scale_problem": ""}
    try:
        if query.look == "ways":
            made["close"] = node_ways(site, page, query.target)
        elif query.look == "parts":
            made["close"] = node_parts(site, page)
        elif query.look == "score":
            made["close"] = score_parts(site, page, query.head, query.key)
    except FeaturescopeError as error:
        made["close_problem"] = str(error)
    if query.scale is not None:
        try:
            made["scaled"] = scaled(site, page, scaled_nodes(page), query.scale)
        except FeaturescopeError as error:
            made["scale_problem"] = str(error)
    return made


def _typeset(site: Site, page: GraphPage) -> object:
    """The tokens of the chosen feature's model, for its card; None: it has no card."""
    chosen = page.chosen
    known = page.names.known(chosen.node) if chosen is not None and chosen.row else None
    return site.typeset(known) if known is not None else None
