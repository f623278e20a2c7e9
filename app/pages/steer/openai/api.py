"""Models and completions at /v1, as OpenAI's API has them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from app.errors import FeaturescopeError, InvalidRequest, NotFound, Overloaded
from app.pages.steer.openai.bodies import ChatBody, TextBody
from app.pages.steer.openai.speech import CompletionChunks, CompletionSpeech
from app.pages.steer.openai.tasks import CompletionTask, chat_task, text_task
from app.web.errors import sentence_of, status_of
from app.web.live.events import DoneEvent, FailedEvent, LiveEvent
from app.web.live.stream import LiveStream
from app.web.model import AddressedModel, known_model
from app.web.routes import PatientRoute
from app.web.site import Site, TheSite
from app.worker.alarms.hearing import AlarmEar
from app.worker.client.chats import chat
from app.worker.protocol.events import Done, Progress, Result

_TYPES = {400: "invalid_request_error", 404: "invalid_request_error", 403: "permission_error"}


class CompletionRoute(PatientRoute):
    """A route whose errors have the form of OpenAI's API."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except FeaturescopeError as error:
                return problem(error)
            except RequestValidationError as error:
                first = error.errors()[0]
                field = ".".join(map(str, first["loc"][1:])) or first.get("ctx", {}).get("name", "")
                return _problem(400, sentence_of(first), field)

        return answer


router = APIRouter(prefix="/v1", route_class=CompletionRoute)


def _chat_task(body: ChatBody, site: TheSite) -> CompletionTask:
    return chat_task(_model(site, body.model), body)


def _text_task(body: TextBody, site: TheSite) -> CompletionTask:
    return text_task(_model(site, body.model), body)


@router.get("/models")
def models(site: TheSite) -> dict[str, Any]:
    """The models that answer here.

    \f
    For example /v1/models
    """
    names = dict.fromkeys(
        view.model
        for view in site.store.catalogue()
        if view.harvest is not None and not view.is_imported
    )
    return {"object": "list", "data": [_card(name) for name in names]}


@router.get("/models/{model:anything}")
def model_card(model: str, site: TheSite) -> dict[str, Any]:
    """One of them.

    \f
    For example /v1/models/demo
    """
    return _card(_model(site, model).name)


@router.post("/chat/completions", response_model=None)
async def chat_completion(
    body: ChatBody, task: Annotated[CompletionTask, Depends(_chat_task)], site: TheSite
) -> Response | dict[str, Any]:
    """Answer a conversation.

    \f
    For example /v1/chat/completions
    with {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
    """
    return await _completed(site, task, bool(body.stream))


@router.post("/completions", response_model=None)
async def text_completion(
    body: TextBody, task: Annotated[CompletionTask, Depends(_text_task)], site: TheSite
) -> Response | dict[str, Any]:
    """Continue a text.

    \f
    For example /v1/completions
    with {"model": "demo", "prompt": "def"}
    """
    return await _completed(site, task, bool(body.stream))


def problem(error: FeaturescopeError) -> Response:
    """A domain error in the form of OpenAI's API."""
    status = 400 if isinstance(error, InvalidRequest) else status_of(error)
    again = error.retry_after if isinstance(error, Overloaded) else None
    field = error.field if isinstance(error, InvalidRequest) else ""
    code = "model_not_found" if isinstance(error, NotFound) else None
    return _problem(status, str(error), field, code, again)


def _problem(
    status: int,
    message: str,
    field: str = "",
    code: str | None = None,
    again: int | None = None,
) -> Response:
    body = {
        "message": message,
        "type": _TYPES.get(status, "server_error"),
        "param": field or None,
        "code": code,
    }
    headers = {} if again is None else {"Retry-After": str(again)}
    return JSONResponse({"error": body}, status, headers)


def _model(site: Site, name: str) -> AddressedModel:
    return known_model(site.store, site.typeset, name)


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "featurescope"}


async def _completed(site: Site, task: CompletionTask, streamed: bool) -> Response | dict[str, Any]:
    speech = CompletionSpeech(task, AlarmEar(site.alarms, task.request, "endpoint"))
    events = chat(site.live, task.request)
    if streamed:
        return CompletionStream(_with_end(events), speech)
    async with aclosing(events):
        async for event in events:
            speech.hear(event)
    return speech.whole()


async def _with_end(
    events: AsyncGenerator[Result | Progress, None],
) -> AsyncGenerator[Any, None]:
    """The same events, and one when they are over."""
    async with aclosing(events):
        async for event in events:
            yield event
        yield Done()


class CompletionStream(LiveStream):
    """A completion as server-sent events without names, the last of them `[DONE]`."""

    def __init__(self, events: AsyncGenerator[Any, None], speech: CompletionSpeech) -> None:
        def say(event: Any) -> LiveEvent | None:
            return speech.last() if isinstance(event, Done) else speech.say(event)

        super().__init__(events, say)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except FeaturescopeError as error:  # before anything was sent
            await problem(error)(scope, receive, send)

    @override
    def written(self, event: LiveEvent) -> str:
        """The chunks of an event, a line each."""
        if isinstance(event, CompletionChunks):
            return "".join(f"data: {chunk}\n\n" for chunk in event.chunks)
        if isinstance(event, FailedEvent):
            error = {"message": event.detail, "type": "server_error", "param": event.field}
            return f"data: {json.dumps({'error': error | {'code': None}})}\n\n"
        return "data: [DONE]\n\n" if isinstance(event, DoneEvent) else ""
