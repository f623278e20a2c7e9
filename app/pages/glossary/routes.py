"""The page of terms, to which headings and footers link."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.rendering.words.glossary import GLOSSARY
from app.web.site import TheSite

router = APIRouter()


@router.get("/glossary")
def glossary(site: TheSite) -> Response:
    """All terms in the order in which a reader meets them.

    For example /glossary
    """
    return site.renderer.html("web/glossary.html", glossary=GLOSSARY)
