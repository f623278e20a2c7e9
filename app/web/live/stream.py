"""The worker's events, passed on to a browser or program as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import FeaturescopeError, Overloaded, WorkerUnavailable
from app.web.errors import DEFECT, field_of, status_of
from app.web.live.events import DoneEvent, FailedEvent, LiveEvent
from app.worker.connection import while_connected
from app.worker.protocol.events import Progress, Result

__all__ = ["DoneEvent", "FailedEvent", "LiveEvent", "LiveStream"]

HEARTBEAT = ": still at it\n\n"
AGAIN_SECONDS = 1  # where the worker is out of reach, its restart takes about that

log = logging.getLogger(__name__)


Say = Callable[[Result | Progress], LiveEvent | Awaitable[LiveEvent | None] | None]


class LiveStream(Response):
    """Says each event of the worker to the client, and nothing more once the client is gone.

    What fails before the first event, within `patience_seconds`, is raised, so that it becomes an
    answer with the status that fits; what fails later becomes a `failed` event. As soon as the
    client has left, `events` is closed, which ends the worker's work within one step. A client
    that reads slowly slows the worker's stream down: only `room` events wait here.

    Args:
        events: the worker's events; closed here, whatever happens.
        say: what an event is to the client, at once or to be awaited; None: nothing.
        heartbeat_seconds: longest silence; then comes a comment.
        patience_seconds: how long the first event may take before the answer begins without it.
        room: events that wait to be sent.
    """

    media_type = "text/event-stream"
    charset = "utf-8"

    def __init__(
        self,
        events: AsyncGenerator[Result | Progress, None],
        say: Say,
        *,
        heartbeat_seconds: float = 5.0,
        patience_seconds: float = 2.0,
        room: int = 64,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._say = say
        self._heartbeat_seconds = heartbeat_seconds
        self._patience_seconds = patience_seconds
        self._box: asyncio.Queue[LiveEvent | Exception] = asyncio.Queue(room)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Stream until the last event is sent or the client is gone."""
        reading = asyncio.create_task(self._read())
        try:
            with suppress(ClientDisconnect):
                await while_connected(receive, self._send(send))
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        """Put every event into the box, last the end or what went wrong."""
        last: LiveEvent | Exception = DoneEvent()
        async with aclosing(self._events) as events:
            try:
                async for event in events:
                    answer = self._say(event)
                    if isinstance(answer, Awaitable):
                        answer = await answer
                    if answer is not None:
                        await self._box.put(answer)
            except Exception as error:
                last = error
        await self._box.put(last)

    async def _send(self, send: Send) -> None:
        events: list[LiveEvent | Exception] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_seconds):
                events = await self._take()
        if events and isinstance(events[0], Exception):
            raise events[0]
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while True:
            sent = [_failed(event) if isinstance(event, Exception) else event for event in events]
            body = "".join(map(self.written, sent)) or HEARTBEAT
            await send({"type": "http.response.body", "body": body.encode(), "more_body": True})
            if sent and isinstance(sent[-1], DoneEvent | FailedEvent):
                break
            events = []
            with suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_seconds):
                    events = await self._take()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def written(self, event: LiveEvent) -> str:
        """One event as it travels. JSON has no line break of its own."""
        return f"event: {event.event}\ndata: {event.model_dump_json()}\n\n"

    async def _take(self) -> list[LiveEvent | Exception]:
        """All that waits in the box, at least one: what came together is sent together."""
        events = [await self._box.get()]
        while not self._box.empty():
            events.append(self._box.get_nowait())
        return events


def _failed(error: Exception) -> FailedEvent:
    if not isinstance(error, FeaturescopeError):
        log.error("a stream failed", exc_info=error)
        return FailedEvent(status=500, detail=DEFECT)
    again = AGAIN_SECONDS if isinstance(error, WorkerUnavailable) else None
    if isinstance(error, Overloaded):
        again = error.retry_after
    return FailedEvent(
        status=status_of(error),
        detail=str(error),
        retry_after=again,
        field=field_of(error) or None,
    )
