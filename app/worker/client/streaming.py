"""The web process's way to the worker for streams: no thread waits with them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache
from typing import Protocol

import httpx

from app.errors import WorkerUnavailable
from app.worker.client.faults import (
    NONE,
    RESTARTING,
    STRANGE,
    faults_translated,
    read_event,
    refuse,
    request_headers,
)
from app.worker.protocol.events import Done, Failed, HealthReply, Progress, Result
from app.worker.protocol.requests import WorkRequest

asking: ContextVar[str] = ContextVar("asking", default="")
"""Whose request is being answered: the worker shares its time fairly among those."""


class LiveWorker(Protocol):
    """What live routes need of the worker."""

    def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        """The events that answer a request, as they arrive."""

    async def close(self) -> None:
        """End all streams."""


class AsyncWorkerClient:
    """Sends requests to the worker and reads its events, hundreds at a time on one event loop.

    Raises what `WorkerClient` raises: WorkerUnavailable, Overloaded, InvalidRequest, WorkFailed.
    """

    def __init__(
        self,
        base_url: Callable[[], str | None],
        *,
        connect_seconds: float = 10.0,
        silence_seconds: float = 20.0,
        secret: str = "",
    ) -> None:
        """Create a client; the arguments are those of `WorkerClient`."""
        self._base_url = base_url
        self._secret = secret
        self._silence_seconds = silence_seconds
        self._timeout = httpx.Timeout(silence_seconds, connect=connect_seconds)
        self._streams: set[httpx.AsyncClient] = set()

    async def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        """The events that answer the request, as they arrive.

        Closing the generator, or cancelling the task that awaits it, closes the connection at
        once, which cancels the work.
        """
        base = self._base_url()
        if base is None:
            raise WorkerUnavailable(NONE)
        with faults_translated(self._silence_seconds):
            async with (
                self._own_connection(verified=base.startswith("https:")) as http,
                http.stream(
                    "POST",
                    base + request.path,
                    content=request.model_dump_json(),
                    headers=request_headers(self._secret, asking.get()),
                ) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    refuse(Failed.model_validate_json(await answer.aread()))
                async for line in answer.aiter_lines():
                    if not line:
                        continue
                    event = read_event(line)
                    if isinstance(event, Done):
                        return
                    yield event
                raise WorkerUnavailable(RESTARTING)

    @asynccontextmanager
    async def _own_connection(self, verified: bool) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one stream, which is closed with it, whatever happens.

        A shared one keeps, for good, each connection whose stream is cancelled between connecting
        and sending. No proxy from the environment: the worker is on this machine or in its network.
        """
        async with httpx.AsyncClient(
            timeout=self._timeout, verify=_tls(verified), trust_env=False
        ) as http:
            self._streams.add(http)
            try:
                yield http
            finally:
                self._streams.discard(http)

    async def close(self) -> None:
        """Close all connections; work in progress is cancelled."""
        for http in tuple(self._streams):
            await http.aclose()


async def worker_health(url: str, seconds: float) -> HealthReply:
    """How the worker at an address is.

    Raises:
        WorkerUnavailable: it does not answer within so many seconds, or talks nonsense.
        Overloaded: nobody takes the connection in that time.
    """
    with faults_translated(seconds):
        async with httpx.AsyncClient(
            timeout=seconds, verify=_tls(url.startswith("https:")), trust_env=False
        ) as http:
            answer = await http.get(f"{url}/health")
            if answer.status_code != httpx.codes.OK:
                raise WorkerUnavailable(STRANGE)
            return HealthReply.model_validate_json(answer.content)


@cache
def _tls(verified: bool) -> ssl.SSLContext:
    """What a client needs to speak TLS: slow to make, so made once."""
    return httpx.create_ssl_context(verify=verified, trust_env=False)
