"""Errors as pages, as fragments, as JSON: one place decides status, words and form."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from app.errors import (
    BodyTooLong,
    Conflict,
    FeaturescopeError,
    InvalidRequest,
    NotFound,
    Overloaded,
    ReaderGone,
    Refused,
    WorkerUnavailable,
)
from app.web.headers import SECURITY_HEADERS
from app.web.schema import SENTENCE
from app.web.site import Site
from app.web.ways_on import ways_on

logger = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[FeaturescopeError], int], ...] = (
    (NotFound, 404),
    (Refused, 403),
    (BodyTooLong, 413),
    (Conflict, 409),
    (InvalidRequest, 422),
)
_UNAVAILABLE = 503
RESTART_SECONDS = 2  # about what a worker needs to start again

_TITLES = {
    403: "Not from there",
    404: "Not here",
    405: "Not that way",
    409: "That is taken",
    413: "Too long",
    422: "That cannot be used",
    500: "A defect in Featurescope",
    503: "Not now",
}

DEFECT = (
    "This page failed through a mistake in the program, not in what you asked for. "
    "The log of the server names it; please report it with that."
)
_LENGTHS = {"too_long": ("max_length", "at most"), "too_short": ("min_length", "at least")}
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "an object",
    "enum": "{expected}",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number with fewer digits",
    "int_type": "a whole number",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_attributes_type": "an object",
    "model_type": "an object",
    "string_too_long": "at most {max_length} characters long",
    "string_too_short": "at least {min_length} characters long",
    "string_type": "text",
    "tuple_type": "a list",
}
"""What the kinds of a validator's errors ask for, with the bounds that they state."""
_PROBLEM = "application/problem+json"
_STREAM = "text/event-stream"


def status_of(error: FeaturescopeError) -> int:
    """The HTTP status of a domain error: the asker's mistake, or something that has to be mended
    first (the store, the worker, a file), as its sentence says."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), _UNAVAILABLE)


def field_of(error: FeaturescopeError) -> str:
    """The value that a domain error is about; empty: none alone."""
    return error.field if isinstance(error, InvalidRequest) else ""


def wants_json(request: Request) -> bool:
    """Whether the asker is a program: anything below /api, or JSON or a stream and no HTML."""
    accepted = request.headers.get("accept", "")
    return request.url.path.startswith("/api/") or (
        ("json" in accepted or "event-stream" in accepted) and "text/html" not in accepted
    )


def respond(
    request: Request,
    status: int,
    sentence: str,
    headers: dict[str, str] | None = None,
    field: str = "",
) -> Response:
    """The error in the form that the asker reads; `field`: the value that it is about."""
    title = _TITLES.get(status, HTTPStatus(status).phrase)
    if wants_json(request):
        problem = {"title": HTTPStatus(status).phrase, "status": status, "detail": sentence}
        if field:
            problem["field"] = field
        return JSONResponse(problem, status, headers, media_type=_PROBLEM)
    site: Site = request.app.state.site
    fragment = request.headers.get("hx-request") == "true"
    return site.renderer.html(
        "web/_message.html" if fragment else "web/error.html",
        status,
        headers,
        status=status,
        title=title,
        sentence=sentence,
        ways=ways_on(site.store, request.path_params) if status == HTTPStatus.NOT_FOUND else [],
    )


def _domain(request: Request, error: Exception) -> Response:
    assert isinstance(error, FeaturescopeError)
    status = status_of(error)
    if status >= 500 and not isinstance(error, ReaderGone):  # of those there are crowds
        logger.warning("%s %s: %s", request.method, request.url.path, error)
    headers = None
    if isinstance(error, Overloaded):
        headers = {"Retry-After": str(error.retry_after)}
    elif isinstance(error, WorkerUnavailable):
        headers = {"Retry-After": str(RESTART_SECONDS)}
    return respond(request, status, str(error), headers, field_of(error))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = {
        404: f"There is no page {request.url.path}. The home page lists all that there is.",
        405: f"{request.url.path} does not answer to {request.method}.",
    }.get(error.status_code, str(error.detail))
    headers = dict(error.headers) if error.headers else None
    if headers and "Allow" in headers:
        headers["Allow"] = ", ".join(_methods(request))
    return respond(request, error.status_code, sentence, headers)


def _methods(request: Request) -> list[str]:
    """All methods that an address answers to; the router names those of its first route."""
    routes = request.app.routes
    return [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    in_path = first["loc"][0] == "path"
    field = ".".join(map(str, first["loc"][1:]))
    return respond(request, 404 if in_path else 422, sentence_of(first), field=field)


def sentence_of(problem: Any) -> str:
    """One sentence for a value that cannot be used, from an entry of a validation error."""
    if problem["type"] == SENTENCE:
        return str(problem["msg"])
    if problem["type"] == "json_invalid":
        return f"The body is no JSON: {problem['ctx']['error']}."
    name = _name(problem["loc"])
    if (length := _LENGTHS.get(problem["type"])) is not None:
        key, bound = length
        entries, allowed = problem["ctx"]["actual_length"], problem["ctx"][key]
        return f"{name} cannot have {entries} entries: it takes {bound} {allowed}."
    if problem["type"] == "missing":
        return f"{name} is missing."
    given = _Short().repr(problem.get("input"))
    return f"{name} cannot be {given}: {_expected(problem)}."


def _expected(problem: Any) -> str:
    """What a value has to be, as half a sentence of ours wherever the validator's is not one."""
    words = _EXPECTED.get(problem["type"])
    if words is not None:
        return "it has to be " + words.format(
            **{k: _bound(v) for k, v in problem.get("ctx", {}).items()}
        )
    expected: str = problem["msg"].removeprefix("Value error, ")
    expected = expected[:1].lower() + expected[1:]
    return expected.replace("input should", "it should")


def _bound(value: Any) -> Any:
    """A bound as people write it: 2 and not 2.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _name(where: Sequence[int | str]) -> str:
    """What to call the place of a value: the entries of a list are called by the list's name."""
    return next((part for part in reversed(where) if isinstance(part, str)), "the body")


def _defect(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    # Starlette answers this one outside of all middleware.
    return respond(request, 500, DEFECT, {**SECURITY_HEADERS, "Cache-Control": "no-store"})


class _Short(reprlib.Repr):
    """What was given, in a sentence's length."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 80


def _document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document, in which errors and streams are described as they are sent."""
    write = app.openapi

    def document() -> dict[str, Any]:
        written = write()
        for operations in written["paths"].values():
            for operation in operations.values():
                for status, answer in operation["responses"].items():
                    if status >= "400" and (contents := answer.get("content")):
                        answer["content"] = {_PROBLEM: next(iter(contents.values()))}
                    elif stream := answer.get("content", {}).get(_STREAM):
                        stream["schema"] = _event(stream["schema"])
        return written

    return document


def _event(schema: dict[str, Any]) -> dict[str, Any]:
    """A server-sent event, whose data is JSON of the schema; written once."""
    if schema.get("type") == "object":
        return schema
    data = {name: part for name, part in schema.items() if name != "type"}
    return {
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "event": {"type": "string"},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": data,
            },
        },
    }


def install(app: FastAPI) -> None:
    """Let every error of the application end here."""
    app.openapi = _document(app)  # type: ignore[method-assign]
    app.add_exception_handler(FeaturescopeError, _domain)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _defect)
