"""The contexts of a feature with their underlines, which the worker may have to work out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app import rendering_errors
from app.errors import FeaturescopeError, Overloaded, WorkerUnavailable
from app.rendering_feature import FeaturePage
from app.routes.parameters import Style
from app.site import Fragment, Site, TheDictionary, TheSite
from app.views import DictionaryView
from sae_core.records import ContextEffect, WindowRecord

router = APIRouter(prefix="/d/{model}/{dictionary}/{index}")

FIRST_WAIT, LONGEST_WAIT = 1, 16


@router.get("/groups/{group}")
def group(
    request: Request,
    dictionary: TheDictionary,
    index: int,
    group: str,
    style: Style,
    site: TheSite,
    fragment: Fragment,
    attempt: Annotated[int, Query(ge=0, le=1000)] = 0,
) -> Response:
    """A group with its underlines; while the worker cannot, a sentence in their place."""
    view = site.store.feature(dictionary, index)
    page = FeaturePage(view, site.typeset(view.dictionary), style)
    found = page.group(group)
    windows = [context.window for context in page.contexts(found)]
    try:
        effects = site.ablations.effects(view.dictionary, index, windows)
    except FeaturescopeError as error:
        if not fragment:
            raise
        return _later(request, site, group, error, attempt)
    return site.renderer.html(
        "feature/_group.html" if fragment else "feature/group.html",
        dictionary=view.dictionary,
        page=page,
        part=page.part(found, effects),
    )


def _later(
    request: Request, site: Site, group: str, error: FeaturescopeError, attempt: int
) -> Response:
    """The reason. Where waiting helps, it asks again after 1, 2, 4, … `LONGEST_WAIT` seconds."""
    wait = 0
    if isinstance(error, WorkerUnavailable | Overloaded):
        wait = min(LONGEST_WAIT, FIRST_WAIT << min(attempt, 10))
    if isinstance(error, Overloaded):
        wait = max(wait, min(LONGEST_WAIT, error.retry_after))
    headers = {"HX-Retarget": f"#underlines-{group}", "HX-Reswap": "outerHTML"}
    if wait:
        headers["Retry-After"] = str(wait)
    again = request.url.include_query_params(attempt=min(attempt + 1, 1000))
    return site.renderer.html(
        "feature/_later.html",
        rendering_errors.status_of(error),
        headers,
        key=group,
        sentence=str(error),
        wait=wait,
        address=f"{again.path}?{again.query}",
    )


@router.get("/contexts/{group}/{number}")
def context(
    dictionary: TheDictionary,
    index: int,
    group: str,
    number: int,
    style: Style,
    site: TheSite,
    fragment: Fragment,
) -> Response:
    """One context, widened or narrowed. A fragment never waits for the worker; a document does."""
    view = site.store.feature(dictionary, index)
    page = FeaturePage(view, site.typeset(view.dictionary), style)
    found = page.context(group, number)
    effect = view.effects.get(found.window.number)
    if effect is None and not fragment:
        effect = _effect(site, view.dictionary, index, found.window)
    return site.renderer.html(
        "feature/_context.html" if fragment else "feature/context.html",
        dictionary=view.dictionary,
        page=page,
        item=page.item(group, found, effect),
        context=found,
        key=group,
        effect=effect,
    )


def _effect(
    site: Site, dictionary: DictionaryView, index: int, window: WindowRecord
) -> ContextEffect | None:
    """What ablation does to one window, or None while the worker cannot say."""
    try:
        return site.ablations.effects(dictionary, index, [window])[window.number]
    except FeaturescopeError:
        return None
