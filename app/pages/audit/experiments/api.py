"""Experiments as JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from app.pages.audit.experiments import schema as types
from app.pages.audit.experiments.texts import AskedTexts, found_texts
from app.rendering.addresses import experiment_address
from app.store.store import Store
from app.store.written.audit.experiments.records import ExperimentView, PromptTexts
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["audit"], responses=ERRORS)

_TOGETHER = 200  # prompts of a piece of CSV


@router.get("/experiments")
def experiments(site: TheSite) -> types.ExperimentList:
    """All experiments.

    \f
    For example /api/v1/experiments
    """
    return types.ExperimentList(
        experiments=[
            types.ExperimentSummary(**asdict(line), address=experiment_address(line.name))
            for line in site.store.audit.experiments.all()
        ]
    )


@router.get("/experiments/{name}")
def experiment(name: str, site: TheSite) -> types.ExperimentAnswer:
    """What was asked, and every figure.

    \f
    For example /api/v1/experiments/docstrings
    """
    view = site.store.audit.experiments.view(name)
    details = view.details.as_json()
    return types.ExperimentAnswer.model_validate(
        {
            "name": view.name,
            "title": view.title,
            "model": view.model,
            "dictionary": view.dictionary,
            "created": view.created,
            "address": experiment_address(name),
            **details["figures"],
            **details,
        }
    )


@router.get("/experiments/{name}/texts")
def texts(name: str, site: TheSite, query: AskedTexts) -> types.ExperimentTexts:
    """Texts of every arm, twenty prompts at a time.

    \f
    For example /api/v1/experiments/docstrings/texts?show=changed
    """
    view = site.store.audit.experiments.view(name)
    found = found_texts(view, site.store, query)
    return types.ExperimentTexts(
        found=found.found,
        page=query.page,
        pages=found.pages,
        prompts=[_prompt(view, own, found.values[:, own.number].tolist()) for own in found.texts],
    )


@router.get("/experiments/{name}/values.csv", response_class=StreamingResponse)
def values(name: str, site: TheSite) -> StreamingResponse:
    """Every outcome of every prompt and arm, with the texts, as a CSV file.

    \f
    For example /api/v1/experiments/docstrings/values.csv
    """
    view = site.store.audit.experiments.view(name)
    headers = {"Content-Disposition": "attachment; filename=experiment.csv"}
    return StreamingResponse(
        _csv(view, site.store), headers=headers, media_type="text/csv; charset=utf-8"
    )


def _prompt(
    view: ExperimentView, own: PromptTexts, values: list[list[float]]
) -> types.ExperimentPrompt:
    arms = [arm.name for arm in view.details.arms]
    said = (
        _whole(own.said)
        if isinstance(own.said, str)
        else [types.ExperimentTurn(role=r, content=_whole(c)) for r, c in own.said]
    )
    return types.ExperimentPrompt(
        number=own.number,
        prompt=said,
        seeds=list(own.seeds),
        texts={
            arm: [_whole(text) for text in row] for arm, row in zip(arms, own.texts, strict=True)
        },
        values={
            outcome.name: {
                arm: None if math.isnan(value) else value
                for arm, value in zip(arms, row, strict=True)
            }
            for outcome, row in zip(view.details.outcomes, values, strict=False)
        },
    )


def _csv(view: ExperimentView, store: Store) -> Iterator[bytes]:
    details = view.details
    measured = store.audit.experiments.values(view)
    outcomes = [outcome.name for outcome in details.outcomes]
    yield _line(["prompt", "arm", "sample", *outcomes, "text"])
    for begin in range(0, details.prompts, _TOGETHER):
        numbers = range(begin, min(begin + _TOGETHER, details.prompts))
        for own in store.audit.experiments.texts(view.name, numbers):
            for place, (arm, row) in enumerate(zip(details.arms, own.texts, strict=True)):
                known = measured[:-1, own.number, place].tolist()
                figures = ["" if math.isnan(value) else repr(value) for value in known]
                for sample, text in enumerate(row):
                    yield _line([str(own.number), arm.name, str(sample), *figures, text])


def _line(cells: list[str]) -> bytes:
    out = io.StringIO()
    # A spreadsheet takes a cell that begins so for a formula.
    inert = [f"'{cell}" if cell[:1] in ("=", "+", "@", "\t", "\r") else cell for cell in cells]
    csv.writer(out).writerow(inert)
    return out.getvalue().encode("utf-8", "replace")


def _whole(text: str) -> str:
    """Half a surrogate pair, which no JSON in UTF-8 holds, as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
