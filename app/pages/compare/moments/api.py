"""Features through a training as JSON."""

from __future__ import annotations

import math

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray

from app.pages.compare.moments import schema as types
from app.pages.compare.moments.view import MomentsPage
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["comparisons"], responses=ERRORS)


@router.get("/over-training")
def trainings(site: TheSite) -> types.TrainingList:
    """Trainings that were followed.

    \f
    For example /api/v1/over-training
    """
    pages = [MomentsPage(record) for record in site.store.comparisons.moments.all()]
    return types.TrainingList(
        trainings=[
            types.TrainingName(
                name=page.record.name,
                model=page.record.model,
                dictionary=page.record.dictionary,
                address=page.address(),
            )
            for page in pages
        ]
    )


@router.get("/over-training/{name}")
def training(name: str, site: TheSite) -> types.TrainingAnswer:
    """A dictionary's features through the training of its model, all figures.

    \f
    For example /api/v1/over-training/demo
    """
    page = MomentsPage(site.store.comparisons.moments.view(name))
    record, arrays = page.record, page.record.arrays
    return types.TrainingAnswer(
        name=record.name,
        model=record.model,
        dictionary=record.dictionary,
        trained=record.settings.trained,
        read=record.settings.read,
        moments=[
            types.TrainingMoment(
                name=moment.name,
                step=moment.step,
                loss=moment.loss,
                null=_known(moment.null),
                appear=page.counts[n],
                present=page.present[n],
                label_score=_known(page.score(n)),
            )
            for n, moment in enumerate(record.moments)
        ],
        features=types.FollowedFeatures(
            appears=page.appears.tolist(),
            match=_table(arrays.values),
            same=_table(arrays.same),
            label_score=_table(arrays.f1),
        ),
        address=page.address(),
    )


def _table(values: NDArray[np.float32]) -> list[list[float | None]]:
    return [[_known(value) for value in row] for row in values.tolist()]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
