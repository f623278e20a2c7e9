"""A sweep: which architecture, sparsity and size is best."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.pages.runs.sweeps.page import Order, SweepPage
from app.web.runs import TheRuns
from app.web.site import Fragment, TheSite

router = APIRouter(prefix="/sweeps")


@router.get("/{name}")
def sweep(
    name: str,
    runs: TheRuns,
    site: TheSite,
    fragment: Fragment,
    sort: Annotated[str, Query(description="Column to order by.")] = "extra",
    order: Annotated[Literal["", "asc", "desc"], Query(description="Direction.")] = "",
) -> Response:
    """The page, or its table alone in another order.

    For example /sweeps/sizes?sort=l0
    """
    page = SweepPage(name, runs, Order(name, sort, order == "desc"))
    template = "runs/_sweep_table.html" if fragment else "runs/sweep.html"
    return site.renderer.html(template, page=page)
