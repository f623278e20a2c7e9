"""How good a dictionary is, on the text that it was evaluated on."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from app.pages.dictionary.evaluation import EvaluationPage
from app.web.site import TheDictionary, TheSite

router = APIRouter(prefix="/d/{model}/{dictionary}")


@router.get("/evaluation")
def evaluation(dictionary: TheDictionary, site: TheSite) -> Response:
    """The page, also of a dictionary that was not evaluated: it says how to."""
    page = EvaluationPage(dictionary)
    return site.renderer.html("dictionary/evaluation.html", dictionary=dictionary, page=page)
