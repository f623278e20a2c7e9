"""Trainings and sweeps as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query

from app.pages.feature.api import ERRORS
from app.pages.runs import schema as types
from app.pages.sweeps.page import Order, SweepPage
from app.pages.sweeps.routes import TheRuns, listed
from app.store.types.runs import RunView
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


@router.get("/sweeps/{name}")
def sweep(name: str, runs: TheRuns) -> types.Sweep:
    """A sweep's figures, and who wins."""
    page = SweepPage(name, runs, Order(name))
    return types.Sweep(
        name=name,
        n_runs=len(runs),
        rows=[
            types.SweepRow(
                **{key: _known(value) for key, value in asdict(row).items() if key != "others"},
                on_front=row.name in page.on_front,
            )
            for row in page.rows
        ],
        contests=[
            types.Contest(
                goal=quantity.title,
                target=contest.target,
                d_sae=contest.d_sae,
                standings=[types.Standing(**asdict(one)) for one in contest.standings],
                noise=contest.noise,
                noise_from=list(contest.noise_from),
                clear=contest.clear,
            )
            for quantity, held in page.contests
            for contest in held
        ],
    )


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


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
