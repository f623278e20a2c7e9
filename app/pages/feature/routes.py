"""The page of a feature, and its contexts with underlines that the worker may have to compute."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from app.errors import FeaturescopeError, InvalidRequest, WorkerUnavailable
from app.pages.feature.groups import context_numbered, group_named
from app.rendering.addresses import model_page_address
from app.rendering.contexts import leading_text
from app.rendering.feature import FeaturePage, with_counterpart
from app.rendering.labels import context_key, label_sheet
from app.rendering.words.citation import EMBED_PARTS
from app.rendering.words.twins import twin_lines
from app.store.types.catalogue import DictionaryView
from app.web.errors import status_of
from app.web.headers import EMBEDDABLE
from app.web.parameters import Author, Style
from app.web.routes import PatientRoute
from app.web.site import Fragment, Site, TheDictionary, TheSite
from app.web.waiting import FIRST_WAIT, MOST_ATTEMPTS, not_yet, seconds_to_wait
from sae_core.harvest.records import ContextEffect, WindowRecord

STEERED_TOKENS = 48  # of a context, as the prompt that is continued

router = APIRouter(prefix="/d/{model}/{dictionary}/{index}", route_class=PatientRoute)


def _tested(request: Request, fragment: bool, text: str) -> str:
    """The text on which the feature is tested: that of the address, or, where a part of the page
    is asked for, that of the page which asks."""
    if not fragment:
        return text
    page = urlsplit(request.headers.get("hx-current-url", ""))
    return dict(parse_qsl(page.query, keep_blank_values=True)).get("text", "")


def _left_out(parts: str) -> list[str]:
    """The parts of a frame that were not asked for.

    Raises:
        InvalidRequest: there is no such part.
    """
    asked = list(filter(None, parts.split(",")))
    for part in asked:
        if part not in EMBED_PARTS:
            raise InvalidRequest(
                f"A frame has no part {part[:60]!r}; it has {', '.join(EMBED_PARTS)}.", "parts"
            )
    return [part for part in EMBED_PARTS if asked and part not in asked]


@router.get("")
def feature(
    request: Request,
    model: str,
    dictionary: str,
    index: int,
    style: Style,
    site: TheSite,
    fragment: Fragment,
    author: Author,
    embed: Annotated[Literal["", "0", "1"], Query(description="For a frame.")] = "",
    parts: Annotated[str, Query(description="Of a frame, by comma.")] = "",
    text: Annotated[str, Query(description="To test the feature on.")] = "",
) -> Response:
    """The page, or its contexts in another style. Underlines that are not stored come later.

    With `embed=1` it may be framed by any page; `parts` names what it shows there, such as
    summary,contexts; empty: all.

    For example /d/demo/mlp-4096/12?width=full
    """
    # The page links to other dictionaries, too: one read gives all of them and this one.
    catalogue = site.store.catalogue()
    names = (model, dictionary)
    chosen = next((view for view in catalogue if (view.model, view.name) == names), None)
    view = site.store.feature(chosen or site.store.dictionary(*names), index)
    view, counterpart = with_counterpart(site.store, view, catalogue)
    embedded = embed == "1" and not fragment
    left_out = _left_out(parts)
    own = _tested(request, fragment, text)
    page = FeaturePage(view, site.typeset(view.dictionary), style, counterpart, embedded, own)
    typeset = site.typeset(view.dictionary)
    rule = None if fragment else site.store.rules.of_feature(view.dictionary, index)
    if embedded:
        return site.renderer.html(
            "feature/embed.html",
            headers=dict(EMBEDDABLE),
            left_out=left_out,
            dictionary=view.dictionary,
            page=page,
            rule=rule,
            explanations=[],
            typeset=typeset,
        )
    return site.renderer.html(
        "feature/_contexts.html" if fragment else "feature/feature.html",
        headers={"HX-Push-Url": page.styled(style, own)} if fragment else None,
        dictionary=view.dictionary,
        page=page,
        sheet=None if fragment else label_sheet(site.store, view.dictionary, index, author),
        rule=rule,
        explanations=[] if fragment else site.store.explanations.of(view.dictionary, index),
        twins=[] if fragment else twin_lines(site.store, view.dictionary, index),
        typeset=typeset,
    )


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
    """A group with its underlines; while the worker cannot, a sentence in their place.

    For example /d/demo/mlp-4096/12/groups/band-10
    """
    view = site.store.feature(dictionary, index)
    page = FeaturePage(view, site.typeset(view.dictionary), style)
    asked = group_named(view, group)
    windows = [context.window for context in page.contexts(asked)]
    missing = any(window.number not in view.effects for window in windows)
    if fragment and missing and (sentence := not_yet(site)):
        return _later(request, site, group, attempt, sentence, HTTPStatus.ACCEPTED, FIRST_WAIT)
    try:
        effects = site.ablations.effects(view.dictionary, index, windows)
    except FeaturescopeError as error:
        if not fragment:
            raise
        status = status_of(error)
        gone = isinstance(error, WorkerUnavailable)  # perhaps because it died meanwhile
        sentence = (gone and not_yet(site)) or str(error)
        return _later(
            request, site, group, attempt, sentence, status, seconds_to_wait(error, attempt)
        )
    return site.renderer.html(
        "feature/_group.html" if fragment else "feature/group.html",
        dictionary=view.dictionary,
        page=page,
        part=page.part(asked, effects),
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
    author: Author,
) -> Response:
    """One context, widened or narrowed. A fragment never waits for the worker; a document does.

    For example /d/demo/mlp-4096/12/contexts/top/0?width=full
    """
    view = site.store.feature(dictionary, index)
    typeset = site.typeset(view.dictionary)
    page = FeaturePage(view, typeset, style)
    asked = context_numbered(view, group, number, typeset)
    effect, reason = view.effects.get(asked.window.number), ""
    if effect is None and not fragment:
        effect, reason = _effect(site, view.dictionary, index, asked.window)
    item = page.item(group, asked, effect)
    if fragment:
        return site.renderer.html("feature/_context.html", item=item)
    sheet = label_sheet(site.store, view.dictionary, index, author)
    return site.renderer.html(
        "feature/context.html",
        dictionary=view.dictionary,
        page=page,
        said=sheet,
        said_here=sheet.on(context_key(view.dictionary, asked.window.number)),
        item=item,
        context=asked,
        key=group,
        effect=effect,
        reason=reason,
    )


@router.get("/contexts/{group}/{number}/steer")
def steer(
    dictionary: TheDictionary, index: int, group: str, number: int, site: TheSite
) -> Response:
    """To the steering page, with the text of a context up to where the feature fires most.

    For example /d/demo/mlp-4096/12/contexts/top/0/steer
    """
    view = site.store.feature(dictionary, index)
    typeset = site.typeset(view.dictionary)
    context = context_numbered(view, group, number, typeset)
    text = leading_text(context.window, context.peak, typeset.vocabulary, STEERED_TOKENS)
    address = model_page_address(
        dictionary.model, "steer", text=text, f=f"{dictionary.name}:{index}"
    )
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)


def _effect(
    site: Site, dictionary: DictionaryView, index: int, window: WindowRecord
) -> tuple[ContextEffect | None, str]:
    """What ablation does to one window; where that cannot be said, None and the reason."""
    try:
        return site.ablations.effects(dictionary, index, [window])[window.number], ""
    except FeaturescopeError as error:
        return None, str(error)
