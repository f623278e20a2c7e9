"""Contrasts of two sets of texts as JSON."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from app.pages.audit.contrast import schema as types
from app.pages.audit.contrast.view import contrast_page
from app.rendering.addresses import contrast_address
from app.store.written.audit.contrasts.records import TextSet
from app.web.schema import ERRORS
from app.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["audit"], responses=ERRORS)


@router.get("/contrast")
def contrasts(site: TheSite) -> types.ContrastList:
    """All contrasts of two sets of texts.

    \f
    For example /api/v1/contrast
    """
    return types.ContrastList(
        contrasts=[
            types.ContrastSummary(**asdict(line), address=contrast_address(line.name))
            for line in site.store.audit.contrasts.all()
        ]
    )


@router.get("/contrast/{name}")
def contrast(name: str, site: TheSite) -> types.ContrastAnswer:
    """What tells two sets of texts apart, with the texts and all figures.

    \f
    For example /api/v1/contrast/code-prose
    """
    page = contrast_page(site.store.audit.contrasts.view(name), site.store)
    record, figures = page.view.record, page.view.record.contrast
    return types.ContrastAnswer(
        name=name,
        title=record.title,
        model=record.model,
        dictionary=record.dictionary,
        first=_texts(record.first),
        second=_texts(record.second),
        seed=int(record.settings.get("seed", 0)),
        halves=figures.halves,
        tested=figures.tested,
        told=figures.told,
        wanted_q=figures.wanted_q,
        features=[
            types.ContrastFeatureAnswer(
                label=row.label, rule=row.rule, address=row.address, **asdict(row.figures)
            )
            for row in page.features
        ],
        probe=types.ContrastProbe(**figures.as_json()["probe"]),
        created=page.view.created,
        address=page.address,
    )


def _texts(own: TextSet) -> types.ContrastTexts:
    return types.ContrastTexts(
        name=_whole(own.name),
        texts=[_whole(text) for text in own.texts],
        groups=[_whole(group) for group in own.groups],
    )


def _whole(text: str) -> str:
    """Half a surrogate pair, which no JSON in UTF-8 holds, as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
