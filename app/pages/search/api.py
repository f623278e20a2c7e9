"""The search as JSON."""

from __future__ import annotations

from fastapi import APIRouter

from app.pages.search.query import TheSearch
from app.pages.search.schema import SearchAnswer
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["search"], responses=ERRORS)


@router.get("/search")
def search(site: TheSite, asked: TheSearch) -> SearchAnswer:
    """The features that fit a text: by number, by words of their labels, notes and rules, by the
    tokens that they fire on or raise.

    \f
    For example /api/v1/search?q=self.&d=demo/mlp-4096
    """
    return SearchAnswer.of(asked.results(site))
