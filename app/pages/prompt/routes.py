"""The prompt page: what fires on a text, what is responsible for a prediction, and why."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import RedirectResponse, Response

from app.errors import InvalidRequest, WorkerUnavailable
from app.pages.prompt.active_features import RARITY
from app.pages.prompt.effects_stream import EffectsStream
from app.pages.prompt.query import LONGEST_TEXT, check_typed, lines, parse
from app.pages.prompt.ranking import EffectRanking
from app.pages.prompt.session import PromptSession
from app.pages.prompt.view.builder import PromptPages
from app.pages.prompt.view.effect_rows import effects
from app.pages.prompt.view.page import Problems, PromptPage
from app.pages.prompt.view.rows import FeatureLines
from app.pages.prompt.view.snippet import snippet
from app.rendering.addresses import model_page_address
from app.web.errors import status_of
from app.web.live.stream import LiveStream
from app.web.model import TheModel
from app.web.routes import PatientRoute
from app.web.site import Fragment, Site, TheSite
from app.web.waiting import FIRST_WAIT, MOST_ATTEMPTS, not_yet, seconds_to_wait
from app.worker.protocol.requests import MOST_EDITS

MOST_BODY = 2**20  # bytes; forms of longer texts are read as far as this to be refused

router = APIRouter(prefix="/m/{model}/prompt", route_class=PatientRoute)
Attempt = Annotated[int, Query(ge=0, le=MOST_ATTEMPTS)]


@dataclass(frozen=True)
class Later:
    """When a page asks again by itself: in so many seconds, at that address."""

    seconds: int
    address: str


@router.get("")
def page(
    request: Request, model: TheModel, site: TheSite, fragment: Fragment, attempt: Attempt = 0
) -> Response:
    """The page, or all of it below the prompt's field.

    For example /m/demo/prompt?text=def%20f
    """
    query, problem = parse(request.query_params.multi_items())
    session = PromptSession(model, site.prompts, query)
    return _answer(request, site, session, problem, fragment, attempt)


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("")
def ask(
    request: Request,
    model: TheModel,
    site: TheSite,
    fragment: Fragment,
    body: Annotated[bytes, Depends(_body)],
) -> Response:
    """To the address of what was typed. A text that no address can hold is refused in its place,
    and stays in its field.

    For example /m/demo/prompt
    with the form text=def+f
    """
    text = body.decode("utf-8", "replace")
    query, problem = parse(parse_qsl(text, keep_blank_values=True, encoding="utf-8"))
    session = PromptSession(model, site.prompts, query)
    if problem is None:
        place = "text"
        try:
            check_typed(query.text or "")
            if query.other:
                place = "other"
                check_typed(query.other, "other prompt")
        except InvalidRequest as error:
            return _answer(request, site, session, error, fragment, 0, place)
        if set(query.dictionaries) == {model.leading.name}:
            query = query.with_(dictionaries=())
        return RedirectResponse(query.address(model.name), HTTPStatus.SEE_OTHER)
    return _answer(request, site, session, problem, fragment, 0)


@router.get("/steer")
def steer(request: Request, model: str) -> Response:
    """To the steering page with the same prompt and one feature `f`, or the checked ones `a`: a
    form sends every line break as CR LF, and the address there means what it says.

    For example /m/demo/prompt/steer?text=def%20f&f=mlp-4096:12
    """
    asked = request.query_params
    features = [*dict.fromkeys([*asked.getlist("f"), *asked.getlist("a")])][:MOST_EDITS]
    pairs = [("text", lines(asked.get("text", ""))), *(("f", feature) for feature in features)]
    query = urlencode([(name, value) for name, value in pairs if value], safe=":")
    where = model_page_address(model, "steer") + (f"?{query}" if query else "")
    return RedirectResponse(where, HTTPStatus.SEE_OTHER)


class EffectsQuestion(BaseModel):
    """The address of the page that asks, without what comes before the question mark."""

    query: str


@router.post("/effects")
def stream(model: TheModel, question: EffectsQuestion, site: TheSite) -> Response:
    """The table of responsible features, again and again until all effects are exact.

    For example /m/demo/prompt/effects
    with {"query": "text=def%20f&target=1"}
    """
    query, problem = parse(parse_qsl(question.query, keep_blank_values=True))
    session = PromptSession(model, site.prompts, query)
    if problem is not None:
        raise problem
    target = session.target()
    if target is None:
        raise InvalidRequest("No prediction was chosen: say which token is to be explained.")
    active = session.active(session.reading)
    writer = FeatureLines(model.store, session.chosen, model.typeset, len(session.reading))

    def draw(known: EffectRanking) -> str:
        table = effects(known, active, writer, query)
        return site.renderer.text("prompt/view/_effects.html", effects=table)

    stream = EffectsStream(site.live, site.prompts, session.requests(target), draw)
    return LiveStream(stream.events(), stream.say)


def _template(fragment: bool, tested: bool, kept: bool) -> str:
    if tested:
        return "prompt/_test.html"
    if kept:
        return "prompt/_late.html"
    return "prompt/_view.html" if fragment else "prompt/prompt.html"


def _tested_at(request: Request, session: PromptSession) -> str:
    """The address of the feature's page that asks, with the text in it, so that it can be shared;
    empty where another page asks, or the text is too long to be read at all."""
    page = urlsplit(request.headers.get("hx-current-url", ""))
    text = session.query.text or ""
    if not page.path.startswith("/d/") or len(text) > LONGEST_TEXT:
        return ""
    pairs = [(name, value) for name, value in parse_qsl(page.query) if name != "text"]
    query = urlencode([*pairs, ("text", text)] if text else pairs, errors="replace")
    return page.path + (f"?{query}" if query else "")


def _answer(
    request: Request,
    site: Site,
    session: PromptSession,
    problem: InvalidRequest | None,
    fragment: bool,
    attempt: int,
    place: str = "form",
) -> Response:
    """The page of a session, with its problems beside what they are about."""
    problems = Problems()
    if problem is not None:
        problems.add(place, problem)
    # A feature's own page tests it on a text, and asks for what it does there alone.
    tested = fragment and request.headers.get("hx-target", "").endswith("#test-result")
    sentence = not_yet(site) if session.query.text is not None else ""
    if sentence:
        problems.add("text", WorkerUnavailable(sentence))
        made = PromptPage(session, problems)
    else:
        made = PromptPages(session, problems, feature_alone=tested).page()
    status, headers, later = int(HTTPStatus.OK), {}, None
    if (error := problems.error) is not None:
        status = int(HTTPStatus.ACCEPTED) if sentence else status_of(error)
        if wait := FIRST_WAIT if sentence else seconds_to_wait(error, attempt):
            again = request.url.include_query_params(attempt=min(attempt + 1, MOST_ATTEMPTS))
            later = Later(wait, f"{again.path}?{again.query}")
            headers["Retry-After"] = str(wait)
    if tested and (address := _tested_at(request, session)):
        headers["HX-Replace-Url"] = address
    # A reading that is on the page stays there while the worker starts again.
    kept = fragment and not tested and later is not None and made.reading is None
    if kept:
        headers |= {"HX-Retarget": "#late", "HX-Reswap": "outerHTML"}
    return site.renderer.html(
        _template(fragment, tested, kept),
        status,
        headers,
        page=made,
        query=session.query,
        fragment=fragment,
        kept=kept,
        later=later,
        rarity=RARITY,
        snippet=snippet(made, str(request.base_url)),
    )
