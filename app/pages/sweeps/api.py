"""A sweep as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict

from fastapi import APIRouter

from app.pages.sweeps import schema
from app.pages.sweeps.page import Order, SweepPage
from app.web.runs import TheRuns
from app.web.schema import ERRORS

router = APIRouter(prefix="/api/v1", tags=["trainings"], responses=ERRORS)


@router.get("/sweeps/{name}")
def sweep(name: str, runs: TheRuns) -> schema.Sweep:
    """A sweep's figures, and who wins."""
    page = SweepPage(name, runs, Order(name))
    return schema.Sweep(
        name=name,
        n_runs=len(runs),
        rows=[
            schema.SweepRow(
                **{key: _known(value) for key, value in asdict(row).items() if key != "others"},
                on_front=row.name in page.on_front,
            )
            for row in page.rows
        ],
        contests=[
            schema.Contest(
                goal=quantity.title,
                target=contest.target,
                d_sae=contest.d_sae,
                standings=[schema.Standing(**asdict(one)) for one in contest.standings],
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
