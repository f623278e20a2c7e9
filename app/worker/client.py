"""The web process's way to the worker: blocking calls for plain `def` routes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import NoReturn

import httpx
from pydantic import TypeAdapter, ValidationError

from app.errors import InvalidRequest, Overloaded, WorkerUnavailable
from app.worker.events import Done, Event, Failed, FailureCode, HealthReply, Progress, Result
from app.worker.protocol import WorkRequest
from sae_core.errors import FeaturescopeError

RESTARTING = "The worker is restarting; this page tries again by itself."
SILENT = "The worker has not answered for {seconds:g} seconds; this page tries again by itself."
NONE = "There is no worker: set FEATURESCOPE_WORKER_URL to the address of one."
STRANGE = (
    "The worker's answer makes no sense here: let the web process and the worker run the same "
    "version of Featurescope."
)

log = logging.getLogger(__name__)
_events: TypeAdapter[Event] = TypeAdapter(Event)


class WorkFailed(FeaturescopeError):
    """The worker took a request on and could not finish it.

    Attributes:
        code: why.
    """

    def __init__(self, message: str, code: FailureCode) -> None:
        super().__init__(message)
        self.code = code


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
    ) -> None:
        """Create a client.

        Args:
            base_url: called for each request; may raise WorkerUnavailable itself. None: there is
                no worker.
            connect_seconds: longest wait for a connection.
            silence_seconds: longest wait for the next line; the worker sends one every few seconds
                while it computes.
        """
        self._base_url = base_url
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
        with self._faults():
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
            self._faults(),
            self._http.stream(
                "POST",
                self._url(request.path),
                content=request.model_dump_json(),
                headers={"Content-Type": "application/json"},
            ) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                _refuse(Failed.model_validate_json(answer.read()))
            for line in answer.iter_lines():
                if not line:
                    continue
                event = _events.validate_json(line)
                if isinstance(event, Failed):
                    _refuse(event)
                elif isinstance(event, Done):
                    return
                else:
                    yield event
            raise WorkerUnavailable(RESTARTING)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what can go wrong between two processes into our own errors."""
        try:
            yield
        except httpx.ReadTimeout as error:
            raise WorkerUnavailable(SILENT.format(seconds=self._silence_seconds)) from error
        except httpx.HTTPError as error:
            log.warning("the worker does not answer: %r", error)
            raise WorkerUnavailable(RESTARTING) from error
        except ValidationError as error:
            log.error("not a message of the worker: %s", error)
            raise WorkerUnavailable(STRANGE) from error


def _refuse(failed: Failed) -> NoReturn:
    match failed.code:
        case FailureCode.OVERLOADED:
            raise Overloaded(failed.message, failed.retry_after or 1)
        case FailureCode.INVALID:
            raise InvalidRequest(failed.message)
        case FailureCode.STOPPED:
            raise WorkerUnavailable(RESTARTING)
        case _:
            raise WorkFailed(failed.message, failed.code)
