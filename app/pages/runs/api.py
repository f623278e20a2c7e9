"""Trainings and sweeps as JSON."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.pages.runs import schema
from app.store.types.runs import RunView
from app.web.runs import listed
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["trainings"], responses=ERRORS)


@router.get("/runs")
def runs(
    site: TheSite,
    sweep: Annotated[str, Query(description="Only this sweep's; empty: those of none.")] = "",
) -> schema.Runs:
    """All trainings that belong to no sweep, or those of one.

    \f
    For example /api/v1/runs?sweep=sizes
    """
    return schema.Runs(
        runs=[schema.Run.model_validate(_fields(view)) for view in listed(sweep, site)],
        sweeps=site.store.runs.sweeps(),
    )


@router.get("/runs/{name}")
def run(name: str, site: TheSite) -> schema.RunWithCurve:
    """One training with its curves.

    \f
    For example /api/v1/runs/first
    """
    curve = site.store.runs.curve(name)
    return schema.RunWithCurve.model_validate({**_fields(curve.view), "curve": curve.points})


def _fields(view: RunView) -> dict[str, Any]:
    """The fields of a stored training, what was recorded of it beside what is known since."""
    dictionaries = [{"model": model, "dictionary": name} for model, name in view.dictionaries]
    return {
        **vars(view.record),
        "output_hook_point": view.record.output_hook_point,
        "skip": view.record.skip,
        "silent": view.stalled,
        "dictionaries": dictionaries,
        "last": view.last,
    }
