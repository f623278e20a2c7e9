"""A job's events as the body of an HTTP answer, one JSON document a line."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.worker.connection import while_connected
from app.worker.process.scheduler import Job, Scheduler
from app.worker.protocol.events import Done, Failed


class EventStream(Response):
    """Sends events as they come and empty lines in between; cancels the job if the client goes."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Stream until the last event is sent or the client is gone."""
        try:
            with suppress(ClientDisconnect):
                await while_connected(receive, self._send_events(send))
        finally:
            self._scheduler.cancel(self._job)

    async def _send_events(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
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
            if lines:
                await send(
                    {"type": "http.response.body", "body": lines.encode(), "more_body": True}
                )
        await send({"type": "http.response.body", "body": b"", "more_body": False})
