"""Home: models, their dictionaries, and the harvests that run."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.web.site import Fragment, TheSite

router = APIRouter()


@router.get("/")
def home(site: TheSite, fragment: Fragment) -> Response:
    """The page, or its catalogue alone, which the page asks for while a harvest runs.

    For example /
    """
    template = "home/_catalogue.html" if fragment else "home/home.html"
    return site.renderer.html(
        template, dictionaries=site.store.catalogue(), progress=site.store.progress()
    )
