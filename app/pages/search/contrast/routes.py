"""The pages of contrasts."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.pages.search.contrast.view import contrast_page
from app.web.site import TheSite

router = APIRouter()


@router.get("/contrast")
def contrasts(site: TheSite) -> Response:
    """All contrasts, and how one is made.

    For example /contrast
    """
    return site.renderer.html(
        "search/contrast/contrasts.html", contrasts=site.store.search.contrasts.all()
    )


@router.get("/contrast/{name}")
def contrast(name: str, site: TheSite) -> Response:
    """What tells two sets of texts apart.

    For example /contrast/code-prose
    """
    page = contrast_page(site.store.search.contrasts.view(name), site.store)
    return site.renderer.html("search/contrast/contrast.html", page=page)
