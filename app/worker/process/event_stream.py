"""A job's events as the body of an HTTP answer, one JSON document a line."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.worker.process.scheduler import Job, Scheduler
from app.worker.protocol.events import Done, Failed


class EventStream(Response):
    """Sends events as they come and empty lines in between; cancels the job if the client goes.

    Starlette's StreamingResponse notices a client that left only at the next send under some
    servers; here the disconnection itself is awaited, whatever the job is doing.
    """

    media_type = "application/x-ndjson"

    def __init__(
        self, scheduler: Scheduler, job: Job, news: asyncio.Event, heartbeat_seconds: float
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._scheduler = scheduler
        self._job = job
        self._news = news
        self._heartbeat_seconds = heartbeat_seconds
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Stream until the last event is sent or the client is gone."""
        watching = asyncio.create_task(self._watch(receive))
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            await self._send_events(send)
        finally:
            self._scheduler.cancel(self._job)
            watching.cancel()

    async def _send_events(self, send: Send) -> None:
        finished = False
        while not finished:
            lines = "\n"
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    await self._news.wait()
            except TimeoutError:
                pass
            else:
                self._news.clear()
                events = self._scheduler.take(self._job)
                lines = "".join(event.model_dump_json() + "\n" for event in events)
                finished = any(isinstance(event, Done | Failed) for event in events)
            if self._gone:
                return
            if lines:
                await send(
                    {"type": "http.response.body", "body": lines.encode(), "more_body": True}
                )
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._news.set()
