"""Routes that may need the worker: whom they answer, what they read, and how they wait."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message

from app.errors import BodyTooLong, Overloaded, ReaderGone, Refused
from app.web.site import Site
from app.worker.client.streaming import asking
from app.worker.client.waiters import GONE
from app.worker.connection import while_connected

LONGEST_BODY = 4 * 2**20  # bytes; the longest prompt with every character escaped fits
MOST_BODIES = 64 * 2**20  # of all requests that are being read
LONGEST_FILE = 16 * 2**20
MOST_FILES = 64 * 2**20
RETRY_AFTER = 2
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Anything(Convertor[str]):
    """The rest of an address, line breaks included: `{name:anything}`."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """The value as it stands there."""
        return value

    def to_string(self, value: str) -> str:
        """The same."""
        return value


register_url_convertor("anything", Anything())


class PatientRoute(APIRoute):
    """A route that may ask for what only the worker knows. For `APIRouter(route_class=…)`.

    Where that is not known yet, the function's thread is given back, the answer is awaited, and the
    function is called again: see `app/worker/client/waiters.py`. A request that another site's page
    makes in the background neither starts work nor changes anything. A body is read once, up to
    `LONGEST_BODY`.
    """

    @property
    def bodies(self) -> Bodies:
        """The bodies that are read with it."""
        return bodies

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        handle = super().get_route_handler()

        async def patient(request: Request) -> Response:
            site: Site = request.app.state.site
            asking.set(client_of(request))

            async def answer(asked: Request) -> Response:
                work = site.waiters.patiently(
                    partial(handle, asked),
                    receive=request.receive,
                    permit=partial(check_origin, request),
                )
                # Who has left does not wait for a thread in front of those who are here.
                try:
                    return await while_connected(request.receive, work)
                except ClientDisconnect:
                    raise ReaderGone(GONE) from None

            if request.method in SAFE:
                return await answer(request)
            check_origin(request)
            async with self.bodies.read(request) as whole:
                return await answer(whole)

        return patient


class Bodies:
    """The bodies of requests, whose sum is bounded."""

    def __init__(self, longest: int = LONGEST_BODY, most: int = MOST_BODIES) -> None:
        self._longest = longest
        self._most = most
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """The same request with its body in memory, as often as it is asked for.

        Raises:
            BodyTooLong: it is longer than is taken.
            Overloaded: too many are being read.
        """
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._longest:
            raise BodyTooLong(_too_long(self._longest))
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                self._held += len(chunk)
                if len(body) > self._longest:
                    raise BodyTooLong(_too_long(self._longest))
                if self._held > self._most:
                    raise Overloaded(
                        "Too many long texts arrive at once; try again in a moment.", RETRY_AFTER
                    )
            message: Message | None = {
                "type": "http.request",
                "body": bytes(body),
                "more_body": False,
            }

            async def receive() -> Message:
                nonlocal message
                first, message = message, None
                return await request.receive() if first is None else first

            yield Request(request.scope, receive)
        finally:
            self._held -= len(body)


bodies = Bodies()
files = Bodies(LONGEST_FILE, MOST_FILES)


class FileRoute(PatientRoute):
    """The same for files, whose bodies are longer."""

    @property
    def bodies(self) -> Bodies:
        """The bodies that are read with it."""
        return files


def _too_long(longest: int) -> str:
    return (
        f"The request is longer than the {longest / 2**20:g} MiB that are taken here: "
        "ask about a shorter text."
    )


def client_of(request: Request) -> str:
    """Whose request it is, for fair shares of the worker: the machine and its program."""
    host = request.client.host if request.client else ""
    return f"{host} {zlib.crc32(request.headers.get('user-agent', '').encode()):08x}"


def check_origin(request: Request) -> None:
    """Refuse work and changes that a page of another site asks for behind its reader's back.

    Browsers say where a request comes from; programs say nothing and are answered. A link that a
    reader follows is answered, wherever it stands.

    Raises:
        Refused: it comes from elsewhere.
    """
    headers = request.headers
    site = headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return
    if site is None:
        # Browsers say it to addresses with TLS and to this machine; elsewhere there is the origin.
        origin = headers.get("origin")
        if origin is None or urlsplit(origin).netloc == headers.get("host"):
            return
    elif (
        request.method in SAFE
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    ):
        return
    raise Refused(
        "A page of another site asked for this. Open Featurescope itself, and ask from there."
    )
