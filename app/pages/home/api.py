"""Home as JSON."""

from __future__ import annotations

from fastapi import APIRouter

from app.pages.dictionary import answers
from app.pages.home.schema import Catalogue, Progress
from app.store.types.catalogue import ProgressView
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["pages"], responses=ERRORS)


@router.get("")
def home(site: TheSite) -> Catalogue:
    """All dictionaries, and the harvests under way."""
    return Catalogue(
        dictionaries=[answers.dictionary(view) for view in site.store.catalogue()],
        progress=[progress(view) for view in site.store.progress()],
    )


def progress(view: ProgressView) -> Progress:
    """A harvest under way."""
    return Progress(
        model=view.model,
        dictionary=view.dictionary,
        phase=view.phase,
        done=view.done,
        total=view.total,
        tokens_per_second=view.tokens_per_second,
        eta_seconds=view.eta_seconds,
        stalled=view.stalled,
    )
