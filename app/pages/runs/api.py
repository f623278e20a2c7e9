"""Trainings and sweeps as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from app.pages.runs import schema as types
from app.store.types.runs import RunView
from app.web.runs import listed
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["trainings"], responses=ERRORS)


@router.get("/runs")
def runs(
    site: TheSite,
    sweep: Annotated[str, Query(description="Only this sweep's; empty: those of none.")] = "",
) -> types.Runs:
    """All trainings that belong to no sweep, or those of one."""
    return types.Runs(
        runs=[_run(view) for view in listed(sweep, site)], sweeps=site.store.runs.sweeps()
    )


@router.get("/runs/{name}")
def run(name: str, site: TheSite) -> types.RunWithCurve:
    """One training with its curves."""
    found = site.store.runs.curve(name)
    curve = [types.RunPoint(**asdict(point)) for point in found.points]
    return types.RunWithCurve(**_run(found.view).model_dump(), curve=curve)


def _run(view: RunView) -> types.Run:
    record = view.record
    return types.Run(
        name=record.name,
        sweep=record.sweep,
        model=record.model,
        hook_point=record.hook_point,
        config=dict(record.config),
        settings=dict(record.settings),
        status=record.status,
        silent=view.stalled,
        message=record.message,
        checksum=record.checksum,
        evaluation=None if record.evaluation is None else dict(record.evaluation),
        cost=None if record.cost is None else dict(record.cost),
        dictionaries=[
            types.HarvestedAs(model=model, dictionary=name) for model, name in view.dictionaries
        ],
        last=None if view.last is None else types.RunPoint(**asdict(view.last)),
    )
