"""The steering page and its parts."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from app.errors import FeaturescopeError, InvalidRequest
from app.pages.steer import requests
from app.pages.steer import requests as steering
from app.pages.steer.answers import SteerSpeech
from app.pages.steer.page import FeatureLine, SliderCard, SteerPage, cards_of, line_of
from app.pages.steer.snippet import snippet
from app.pages.steer.state import Slider, SteerState
from app.pages.steer.texts import SteerTexts
from app.rendering.tokens import Typeset
from app.web.errors import status_of
from app.web.model import Dictionaries, dictionaries_of, dictionary_of
from app.web.site import Site, TheSite

router = APIRouter(prefix="/m/{model}/steer")


@router.get("")
def page(request: Request, model: str, site: TheSite) -> Response:
    """The page. With `run=1` it waits for both texts; scripts ask for them by themselves."""
    query = request.query_params.multi_items()
    names = dict(query)
    if "form" in names:
        return RedirectResponse(SteerState.submitted(query).address(model, run="1"), 303)
    dictionaries = dictionaries_of(site.store, model)
    state = SteerState.read(query)
    made = _page(site, dictionaries, state, names.get("dictionary", ""), names.get("q", ""))
    status = 422 if made.problems or any(card.problem for card in made.cards) else 200
    if "run" in names and status == 200:
        try:
            made = replace(made, texts=_texts(site, dictionaries, made))
        except FeaturescopeError as error:
            made, status = replace(made, failure=str(error)), status_of(error)
    return site.renderer.html("steer/steer.html", status, page=made)


@router.get("/slider")
def slider(model: str, f: str, site: TheSite) -> Response:
    """One slider, for the page to add."""
    dictionaries = dictionaries_of(site.store, model)
    wanted = Slider.read(f)
    line = None
    if wanted is not None:
        line = line_of(site.store, dictionaries, _typeset(site, dictionaries), wanted)
    if wanted is None or line is None:
        raise InvalidRequest(f"{f[:80]!r} names no feature: write dictionary:index.")
    return site.renderer.html("steer/_slider.html", card=SliderCard(wanted, line, ""), place="")


@router.get("/python")
def python(request: Request, model: str, site: TheSite) -> Response:
    """The page as a program."""
    dictionaries_of(site.store, model)
    question, problems = SteerState.read(request.query_params.multi_items()).question()
    if question is None:
        raise InvalidRequest(next(iter(problems.values())))
    return PlainTextResponse(snippet(model, question, str(request.base_url)))


@router.get("/search")
def search(model: str, site: TheSite, dictionary: str = "", q: str = "") -> Response:
    """The features that fit what is typed, as links that add them."""
    dictionaries = dictionaries_of(site.store, model)
    made = _page(site, dictionaries, SteerState(), dictionary, q)
    return site.renderer.html("steer/_found.html", page=made)


def _page(
    site: Site, dictionaries: Dictionaries, state: SteerState, dictionary: str, typed: str
) -> SteerPage:
    question, problems = state.question()
    typeset = _typeset(site, dictionaries)
    if question is not None:
        try:
            requests.check_room(dictionaries, question)
        except InvalidRequest as error:
            problems["n"] = str(error)
    if dictionary and dictionary not in dictionaries:
        dictionary_of(dictionaries, dictionary)
    view = dictionaries[dictionary] if dictionary else next(iter(dictionaries.values()))
    found = site.search.find(site.store, typeset, view, typed[:200])
    return SteerPage(
        dictionaries=dictionaries,
        state=state,
        typeset=typeset,
        cards=cards_of(site.store, dictionaries, typeset, state, problems),
        problems=problems,
        question=question,
        presets=site.store.presets(view.model),
        chosen=view.name,
        typed=typed,
        found=[FeatureLine.of(view, row, typeset) for row in found],
    )


def _typeset(site: Site, dictionaries: Dictionaries) -> Typeset:
    return site.typeset(next(iter(dictionaries.values())))


def _texts(site: Site, dictionaries: Dictionaries, made: SteerPage) -> SteerTexts | None:
    """Both texts, waited for; None where there is nothing to ask."""
    if made.question is None:
        return None
    asked = steering.steer(site.store, dictionaries, made.question)
    speech = SteerSpeech(site.store, made.typeset, asked)
    said = [speech.said(event) for event in site.waiters.all(site.live, asked.request)]
    return SteerTexts.of([event for event in said if event is not None])
