"""Home as JSON."""

from __future__ import annotations

from fastapi import APIRouter

from app.pages.dictionary.schema import DictionaryAnswer
from app.pages.home.schema import Catalogue, ProgressAnswer
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["pages"], responses=ERRORS)


@router.get("")
def home(site: TheSite) -> Catalogue:
    """All dictionaries, and the harvests under way.

    \f
    For example /api/v1
    """
    return Catalogue(
        dictionaries=[DictionaryAnswer.model_validate(view) for view in site.store.catalogue()],
        progress=[ProgressAnswer.model_validate(view) for view in site.store.progress.all()],
    )
