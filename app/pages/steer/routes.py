"""The steering page and its parts."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from app.errors import FeaturescopeError, InvalidRequest
from app.pages.steer import requests as steering
from app.pages.steer.answers import SteerSpeech
from app.pages.steer.page import SliderCard, SteerPage, line_of, steer_page
from app.pages.steer.snippet import snippet
from app.pages.steer.state import Slider, SteerState
from app.pages.steer.texts import SteerTexts
from app.web.errors import status_of
from app.web.model import TheModel
from app.web.routes import PatientRoute
from app.web.site import Site, TheSite

router = APIRouter(prefix="/m/{model}/steer", route_class=PatientRoute)


@router.get("")
def page(request: Request, model: TheModel, site: TheSite) -> Response:
    """The page. With `run=1` it waits for both texts; scripts ask for them by themselves.

    For example /m/demo/steer?text=def%20f&f=mlp-4096:12:add:4
    """
    query = request.query_params.multi_items()
    names = dict(query)
    if "form" in names:
        return RedirectResponse(SteerState.submitted(query).address(model.name, run="1"), 303)
    state = SteerState.read(query)
    made = steer_page(site, model, state, names.get("dictionary", ""), names.get("q", ""))
    status = 422 if made.refused else 200
    if "run" in names and status == 200:
        try:
            made = replace(made, texts=_texts(site, made))
        except FeaturescopeError as error:
            made, status = replace(made, failure=str(error)), status_of(error)
    return site.renderer.html("steer/steer.html", status, page=made)


@router.get("/slider")
def slider(model: TheModel, f: str, site: TheSite) -> Response:
    """One slider, for the page to add.

    For example /m/demo/steer/slider?f=mlp-4096:12
    """
    wanted = Slider.read(f)
    line = None if wanted is None else line_of(model, wanted)
    if wanted is None or line is None:
        raise InvalidRequest(f"{f[:80]!r} names no feature: write dictionary:index.")
    return site.renderer.html("steer/_slider.html", card=SliderCard(wanted, line, ""), place="")


@router.get("/python")
def python(request: Request, model: TheModel) -> Response:
    """The page as a program.

    For example /m/demo/steer/python?text=def%20f&f=mlp-4096:12:add:4
    """
    question, problems = SteerState.read(request.query_params.multi_items()).question()
    if question is None:
        raise InvalidRequest(next(iter(problems.values())))
    return PlainTextResponse(snippet(model.name, question, str(request.base_url)))


@router.get("/search")
def search(model: TheModel, site: TheSite, dictionary: str = "", q: str = "") -> Response:
    """The features that fit what is typed, as links that add them.

    For example /m/demo/steer/search?dictionary=mlp-4096&q=self
    """
    made = steer_page(site, model, SteerState(), dictionary, q)
    return site.renderer.html("steer/_found.html", page=made)


def _texts(site: Site, made: SteerPage) -> SteerTexts | None:
    """Both texts, waited for; None where there is nothing to ask."""
    if made.question is None:
        return None
    asked = steering.steer(made.of, made.question)
    speech = SteerSpeech(made.of, asked)
    events = [speech.answer(event) for event in site.waiters.all(site.live, asked.request)]
    return SteerTexts.of([event for event in events if event is not None])
