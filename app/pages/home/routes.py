"""Home: where to start, models, their dictionaries, and the harvests that run."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.pages.home.start import start, suggested
from app.web.site import Fragment, TheSite

router = APIRouter()


@router.get("/")
def home(site: TheSite, fragment: Fragment) -> Response:
    """The page, or its catalogue alone, which the page asks for while a harvest runs.

    For example /
    """
    catalogue, progress = site.store.catalogue(), site.store.progress.all()
    first = None if fragment else suggested(catalogue)
    steps = None if first is None else start(site.store, first, site.typeset(first))
    return site.renderer.html(
        "home/_catalogue.html" if fragment else "home/home.html",
        dictionaries=catalogue,
        progress=progress,
        start=steps,
    )
