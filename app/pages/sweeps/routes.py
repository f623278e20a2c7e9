"""A sweep: which architecture, sparsity and size is best."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from app.errors import NotFound
from app.pages.sweeps.page import Order, SweepPage
from app.store.types.runs import RunView
from app.web.site import Fragment, TheSite

router = APIRouter(prefix="/sweeps")


def _runs(name: str, site: TheSite) -> list[RunView]:
    """The runs of a sweep.

    Raises:
        NotFound: it has none.
    """
    found = site.store.runs.all(name) if name else []
    if not found:
        known = ", ".join(site.store.runs.sweeps())
        there = (
            f"There are {known}." if known else "`featurescope sweep --help` tells how to make one."
        )
        raise NotFound(f"There is no sweep {name!r}. {there}")
    return found


def listed(sweep: str, site: TheSite) -> list[RunView]:
    """The runs of a sweep; empty: those of none.

    Raises:
        NotFound: there is no such sweep.
    """
    return _runs(sweep, site) if sweep else site.store.runs.all("")


TheRuns = Annotated[list[RunView], Depends(_runs)]


@router.get("/{name}")
def sweep(
    name: str,
    runs: TheRuns,
    site: TheSite,
    fragment: Fragment,
    sort: Annotated[str, Query(description="Column to order by.")] = "extra",
    order: Annotated[Literal["", "asc", "desc"], Query(description="Direction.")] = "",
) -> Response:
    """The page, or its table alone in another order."""
    page = SweepPage(name, runs, Order(name, sort, order == "desc"))
    template = "sweeps/_table.html" if fragment else "sweeps/sweep.html"
    return site.renderer.html(template, page=page)
