"""The pages of monitors."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.pages.audit.monitors.reading import read_with
from app.pages.audit.monitors.view import monitor_page, tried
from app.web.routes import PatientRoute
from app.web.site import TheSite

router = APIRouter(route_class=PatientRoute)


@router.get("/monitors")
def monitors(site: TheSite) -> Response:
    """All monitors, and how one is made.

    For example /monitors
    """
    return site.renderer.html(
        "audit/monitors/monitors.html", monitors=site.store.audit.monitors.all()
    )


@router.get("/monitors/{name}")
def monitor(
    name: str,
    site: TheSite,
    text: Annotated[str, Query(description="A text to try.")] = "",
) -> Response:
    """What a monitor watches, what can be promised of it, its alarms, and a text tried.

    For example /monitors/rude?text=Thank+you
    """
    view = site.store.audit.monitors.view(name)
    page = monitor_page(view, site.store)
    shown = None
    if text and not page.problem:
        known, read = read_with(site, view, text)
        shown = tried(page, site.store, known, read)
    return site.renderer.html("audit/monitors/monitor.html", page=page, text=text, tried=shown)
