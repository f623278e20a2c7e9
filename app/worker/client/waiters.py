"""Waiting for the worker in plain routes: as long as the reader is there, and not too many at once.

A plain route waits in a thread. Each wait holds one, so that their number is bounded and the web
process has as many threads more; and a wait ends when the reader of the answer has gone, which ends
the worker's work, too.
"""

from __future__ import annotations

from contextlib import aclosing
from contextvars import ContextVar

from anyio import from_thread, to_thread
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Overloaded, WorkerUnavailable
from app.worker.client.streaming import LiveWorker
from app.worker.connection import while_connected
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.requests import WorkRequest

MOST_WAITING = 64
RETRY_AFTER = 2
GONE = "The reader has gone."

_receive: ContextVar[Receive | None] = ContextVar("receive", default=None)


class Presence:
    """ASGI middleware: lets whatever answers a request know when its reader has gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        _receive.set(receive if scope["type"] == "http" else None)
        await self._app(scope, receive, send)


class Waiters:
    """All requests that wait in threads. Belongs to one event loop."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._waiting = 0

    def make_room(self) -> None:
        """Let the event loop have a thread for each, besides those that pages need."""
        to_thread.current_default_thread_limiter().total_tokens += self._most

    def all(self, live: LiveWorker, request: WorkRequest) -> list[Result | Progress]:
        """All events that answer a request. Called in a thread of a plain route.

        Raises:
            Overloaded: too many wait already.
            WorkerUnavailable: the reader has gone, or the worker has.
        """
        return from_thread.run(self._all, live, request)

    async def _all(self, live: LiveWorker, request: WorkRequest) -> list[Result | Progress]:
        if self._waiting >= self._most:
            raise Overloaded(
                f"{self._waiting} readers wait for the worker already; try again in a moment.",
                RETRY_AFTER,
            )
        self._waiting += 1
        try:
            receive, work = _receive.get(), _collected(live, request)
            return await (work if receive is None else while_connected(receive, work))
        except ClientDisconnect:
            raise WorkerUnavailable(GONE) from None
        finally:
            self._waiting -= 1


async def _collected(live: LiveWorker, request: WorkRequest) -> list[Result | Progress]:
    async with aclosing(live.ask(request)) as events:
        return [event async for event in events]
