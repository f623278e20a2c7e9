"""The glossary as JSON."""

from __future__ import annotations

from fastapi import APIRouter

from app.pages.glossary.schema import GlossaryAnswer, TermAnswer
from app.rendering.words.glossary import GLOSSARY
from app.web.schema import ERRORS

router = APIRouter(prefix="/api/v1", tags=["pages"], responses=ERRORS)


@router.get("/glossary")
def glossary() -> GlossaryAnswer:
    """What the terms in these answers mean.

    \f
    For example /api/v1/glossary
    """
    return GlossaryAnswer(terms=[TermAnswer.model_validate(term) for term in GLOSSARY])
