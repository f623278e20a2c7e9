"""The web process's way to the worker: blocking calls for plain `def` routes."""

from __future__ import annotations

from collections.abc import Callable, Generator

import httpx

from app.errors import WorkerUnavailable
from app.worker.client.faults import (
    NONE,
    RESTARTING,
    STRANGE,
    WorkFailed,
    faults_translated,
    read_event,
    refuse,
    request_headers,
)
from app.worker.protocol.events import Done, Failed, HealthReply, Progress, Result
from app.worker.protocol.requests import WorkRequest

__all__ = ["NONE", "RESTARTING", "STRANGE", "WorkFailed", "WorkerClient"]


class WorkerClient:
    """Sends requests to the worker and reads its events. Safe to share between threads.

    Every method may raise WorkerUnavailable (it cannot be reached, went silent, or died half-way),
    Overloaded (its queue is full), InvalidRequest (the request contradicts the model) or
    WorkFailed.
    """

    def __init__(
        self,
        base_url: Callable[[], str | None],
        *,
        connect_seconds: float = 3.0,
        silence_seconds: float = 20.0,
        secret: str = "",
    ) -> None:
        """Create a client.

        Args:
            base_url: called for each request; may raise WorkerUnavailable itself. None: there is
                no worker.
            connect_seconds: longest wait for a connection.
            silence_seconds: longest wait for the next line; the worker sends one every few seconds
                while it computes.
            secret: what the worker wants to hear before it works; empty: nothing.
        """
        self._base_url = base_url
        self._secret = secret
        self._silence_seconds = silence_seconds
        # No connection is used twice: one kept from before a restart would fail the next request.
        # No proxy from the environment: the worker is on this machine or in this network.
        self._http = httpx.Client(
            timeout=httpx.Timeout(silence_seconds, connect=connect_seconds),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
        )

    def ask(self, request: WorkRequest) -> Generator[Result | Progress, None, None]:
        """The events that answer the request, as they arrive.

        Closing the iterator closes the connection, which cancels the work.
        """
        return self._stream(request)

    def health(self, seconds: float = 5.0) -> HealthReply:
        """How the worker is, within `seconds`."""
        with faults_translated(self._silence_seconds):
            answer = self._http.get(self._url("/health"), timeout=seconds)
            if answer.status_code != httpx.codes.OK:
                raise WorkerUnavailable(STRANGE)
            return HealthReply.model_validate_json(answer.content)

    def close(self) -> None:
        """Close all connections; work in progress is cancelled."""
        self._http.close()

    def _url(self, path: str) -> str:
        base = self._base_url()
        if base is None:
            raise WorkerUnavailable(NONE)
        return base + path

    def _stream(self, request: WorkRequest) -> Generator[Result | Progress, None, None]:
        with (
            faults_translated(self._silence_seconds),
            self._http.stream(
                "POST",
                self._url(request.path),
                content=request.model_dump_json(),
                headers=request_headers(self._secret),
            ) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                refuse(Failed.model_validate_json(answer.read()))
            for line in answer.iter_lines():
                if not line:
                    continue
                event = read_event(line)
                if isinstance(event, Done):
                    return
                yield event
            raise WorkerUnavailable(RESTARTING)
