"""Trainings that were followed, and the page of each."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.pages.compare.moments.view import SORTS, MomentsPage, MomentsQuery, moments_page
from app.web.site import TheSite

router = APIRouter()


@router.get("/over-training")
def trainings(site: TheSite) -> Response:
    """All trainings that were followed, and how to follow one.

    For example /over-training
    """
    pages = [MomentsPage(record) for record in site.store.comparisons.moments.all()]
    return site.renderer.html("compare/moments/trainings.html", pages=pages)


@router.get("/over-training/{name}")
def training(
    name: str,
    site: TheSite,
    at: Annotated[int, Query(ge=-1, description="Number of the checkpoint; -1: the last.")] = -1,
    feature: Annotated[int | None, Query(ge=0, description="Whose contexts are shown.")] = None,
    sort: Annotated[str, Query(description="appears, match, score or index.")] = "appears",
    page: Annotated[int, Query(ge=1, description="Of the table.")] = 1,
) -> Response:
    """A dictionary's features at one checkpoint of its model's training.

    For example /over-training/demo?at=3&feature=12
    """
    shown = moments_page(site.store, site.typeset, name, MomentsQuery(at, feature, sort, page))
    return site.renderer.html("compare/moments/training.html", page=shown, sorts=SORTS)
