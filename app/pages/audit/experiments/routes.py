"""The pages of experiments."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.pages.audit.experiments.texts import SAID, AskedTexts, texts_page
from app.pages.audit.experiments.view import experiment_page
from app.web.site import TheSite

router = APIRouter()


@router.get("/experiments")
def experiments(site: TheSite) -> Response:
    """All experiments, and how one is run.

    For example /experiments
    """
    return site.renderer.html(
        "audit/experiments/experiments.html", experiments=site.store.audit.experiments.all()
    )


@router.get("/experiments/{name}")
def experiment(name: str, site: TheSite, query: AskedTexts) -> Response:
    """An experiment: arms by outcomes, side effects, texts side by side.

    For example /experiments/docstrings?show=changed
    """
    view = site.store.audit.experiments.view(name)
    return site.renderer.html(
        "audit/experiments/experiment.html",
        page=experiment_page(view, site.store),
        texts=texts_page(view, site.store, query),
        shown=SAID,
    )
