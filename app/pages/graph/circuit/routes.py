"""The page of a task's circuit."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.pages.graph.circuit.view import circuit_page
from app.web.site import TheSite

router = APIRouter(prefix="/m/{model}")


@router.get("/circuit/{name}")
def circuit(model: str, name: str, site: TheSite) -> Response:
    """What a task owes its answers to, and what the model can do without that.

    For example /m/demo/circuit/brackets
    """
    page = circuit_page(site.store.graphs.circuits.view(model, name), site.store)
    return site.renderer.html("graph/circuit/circuit.html", page=page)
