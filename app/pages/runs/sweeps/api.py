"""A sweep as JSON."""

from __future__ import annotations

from fastapi import APIRouter

from app.pages.runs.sweeps import schema
from app.pages.runs.sweeps.page import Order, SweepPage
from app.web.runs import TheRuns
from app.web.schema import ERRORS

router = APIRouter(prefix="/api/v1", tags=["trainings"], responses=ERRORS)


@router.get("/sweeps/{name}")
def sweep(name: str, runs: TheRuns) -> schema.Sweep:
    """A sweep's figures, and who wins.

    \f
    For example /api/v1/sweeps/sizes
    """
    page = SweepPage(name, runs, Order(name))
    return schema.Sweep(
        name=name,
        n_runs=len(runs),
        rows=[
            schema.SweepRowAnswer.model_validate(
                {**vars(row), "on_front": row.name in page.on_front}
            )
            for row in page.rows
        ],
        contests=[
            schema.ContestAnswer.model_validate(
                {**vars(contest), "goal": quantity.title, "clear": contest.clear}
            )
            for quantity, held in page.contests
            for contest in held
        ],
    )
