"""The page of conversations."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.pages.steer.chat.page import ChatPage, chat_state
from app.pages.steer.page import steer_page
from app.web.model import TheModel
from app.web.routes import PatientRoute
from app.web.site import TheSite

router = APIRouter(prefix="/m/{model}/chat", route_class=PatientRoute)


@router.get("")
def page(request: Request, model: TheModel, site: TheSite) -> Response:
    """The page; the conversation itself stays in the browser.

    For example /m/demo/chat?f=mlp-4096:12:add:4&trait=starred
    """
    query = request.query_params.multi_items()
    made = steer_page(site, model, chat_state(query, model.facts.n_ctx), "", "")
    lists = [view for view in model.store.lists.all() if view.size and not view.withdrawn]
    monitors = [line for line in model.store.audit.monitors.all() if line.model == model.name]
    shown = ChatPage.of(made, lists, monitors, query)
    status = 422 if made.refused else 200
    return site.renderer.html("steer/chat/chat.html", status, page=made, chat=shown)
