"""The contexts of a feature with their underlines, which the worker may have to work out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.errors import FeaturescopeError, WorkerUnavailable
from app.pages.feature.page import FeaturePage
from app.store.types.catalogue import DictionaryView
from app.web import errors as rendering_errors
from app.web.parameters import Style
from app.web.site import Fragment, Site, TheDictionary, TheSite
from app.web.waiting import FIRST_WAIT, MOST_ATTEMPTS, not_yet, seconds_to_wait
from sae_core.harvest.records import ContextEffect, WindowRecord

router = APIRouter(prefix="/d/{model}/{dictionary}/{index}")


@router.get("/groups/{group}")
def group(
    request: Request,
    dictionary: TheDictionary,
    index: int,
    group: str,
    style: Style,
    site: TheSite,
    fragment: Fragment,
    attempt: Annotated[int, Query(ge=0, le=MOST_ATTEMPTS)] = 0,
) -> Response:
    """A group with its underlines; while the worker cannot, a sentence in their place."""
    view = site.store.feature(dictionary, index)
    page = FeaturePage(view, site.typeset(view.dictionary), style)
    found = page.group(group)
    windows = [context.window for context in page.contexts(found)]
    missing = any(window.number not in view.effects for window in windows)
    if fragment and missing and (sentence := not_yet(site)):
        return _later(request, site, group, attempt, sentence, HTTPStatus.ACCEPTED, FIRST_WAIT)
    try:
        effects = site.ablations.effects(view.dictionary, index, windows)
    except FeaturescopeError as error:
        if not fragment:
            raise
        status = rendering_errors.status_of(error)
        gone = isinstance(error, WorkerUnavailable)  # perhaps because it died meanwhile
        sentence = (gone and not_yet(site)) or str(error)
        return _later(
            request, site, group, attempt, sentence, status, seconds_to_wait(error, attempt)
        )
    return site.renderer.html(
        "feature/_group.html" if fragment else "feature/group.html",
        dictionary=view.dictionary,
        page=page,
        part=page.part(found, effects),
    )


def _later(
    request: Request, site: Site, group: str, attempt: int, sentence: str, status: int, wait: int
) -> Response:
    """The reason in the place of the underlines; where `wait` is not 0 it asks again by itself."""
    headers = {"HX-Retarget": f"#underlines-{group}", "HX-Reswap": "outerHTML"}
    if wait:
        headers["Retry-After"] = str(wait)
    again = request.url.include_query_params(attempt=min(attempt + 1, MOST_ATTEMPTS))
    return site.renderer.html(
        "feature/_later.html",
        status,
        headers,
        key=group,
        sentence=sentence,
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
    effect, reason = view.effects.get(found.window.number), ""
    if effect is None and not fragment:
        effect, reason = _effect(site, view.dictionary, index, found.window)
    return site.renderer.html(
        "feature/_context.html" if fragment else "feature/context.html",
        dictionary=view.dictionary,
        page=page,
        item=page.item(group, found, effect),
        context=found,
        key=group,
        effect=effect,
        reason=reason,
    )


def _effect(
    site: Site, dictionary: DictionaryView, index: int, window: WindowRecord
) -> tuple[ContextEffect | None, str]:
    """What ablation does to one window; where that cannot be said, None and the reason."""
    try:
        return site.ablations.effects(dictionary, index, [window])[window.number], ""
    except FeaturescopeError as error:
        return None, str(error)
