"""Trainings: all of them, some side by side, and one while it trains."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.errors import InvalidRequest
from app.pages.runs.page import (
    MOST_COMPARED,
    adding,
    aim,
    circumstances,
    drawn,
    ends,
    evaluated_on,
    key,
    method,
    resuming,
)
from app.web.runs import listed
from app.web.site import Fragment, TheSite

router = APIRouter(prefix="/runs")

Chosen = Annotated[list[str], Query(alias="with", description="Runs whose curves are drawn.")]
Sweep = Annotated[str, Query(description="Only the runs of this sweep.")]


@router.get("")
def runs(site: TheSite, chosen: Chosen = [], sweep: Sweep = "") -> Response:  # noqa: B006
    """All runs that belong to no sweep, or those of one; the chosen ones with their curves.

    For example /runs?with=first&with=second
    """
    names = list(dict.fromkeys(chosen))
    if len(names) > MOST_COMPARED:
        raise InvalidRequest(
            f"{len(names)} runs are too many for one plot: choose at most {MOST_COMPARED}."
        )
    compared = site.store.runs.curves(names)
    return site.renderer.html(
        "runs/runs.html",
        runs=listed(sweep, site),
        sweep=sweep,
        sweeps=site.store.runs.sweeps(),
        compared=[curve.view.record.name for curve in compared],
        key=key([curve.view.record.name for curve in compared]),
        figures=drawn(compared) if compared else [],
        aim=aim,
    )


@router.get("/{name}")
def run(name: str, site: TheSite, fragment: Fragment) -> Response:
    """One run; its fragment is what the page asks for while it trains.

    For example /runs/first
    """
    curve = site.store.runs.curve(name)
    return site.renderer.html(
        "runs/_run.html" if fragment else "runs/run.html",
        run=curve.view,
        points=curve.points,
        figures=drawn([curve]),
        command=resuming(curve.view),
        adding=adding,
        circumstances=circumstances,
        ends=ends,
        evaluated_on=evaluated_on,
        method=method,
    )
