"""The pages of contrasts."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.pages.audit.contrast.view import contrast_page
from app.web.site import TheSite

router = APIRouter()


@router.get("/contrast")
def contrasts(site: TheSite) -> Response:
    """All contrasts, and how one is made.

    For example /contrast
    """
    return site.renderer.html(
        "audit/contrast/contrasts.html", contrasts=site.store.audit.contrasts.all()
    )


@router.get("/contrast/{name}")
def contrast(name: str, site: TheSite) -> Response:
    """What tells two sets of texts apart.

    For example /contrast/code-prose
    """
    page = contrast_page(site.store.audit.contrasts.view(name), site.store)
    return site.renderer.html("audit/contrast/contrast.html", page=page)
