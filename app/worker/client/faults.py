"""What can go wrong between the web process and the worker, turned into our own errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import httpx
from pydantic import TypeAdapter, ValidationError

from app.errors import InvalidRequest, Overloaded, WorkerUnavailable
from app.worker.protocol.events import Done, Event, Failed, FailureCode, Progress, Result
from app.worker.protocol.requests import CLIENT, SECRET
from sae_core.errors import FeaturescopeError

RESTARTING = "The worker is restarting; this page tries again by itself."
SILENT = "The worker has not answered for {seconds:g} seconds; this page tries again by itself."
BUSY = "The worker has too much to do to take one more question; this page tries again by itself."
BUSY_SECONDS = 3
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


@contextmanager
def faults_translated(silence_seconds: float) -> Iterator[None]:
    """Turn what the connection and the answer's form may raise into our own errors.

    Args:
        silence_seconds: how long was waited for the next line, for the sentence.

    Raises:
        Overloaded: it does not take the question in time.
        WorkerUnavailable: it cannot be reached, went silent, died half-way or talks nonsense.
    """
    try:
        yield
    except httpx.ReadTimeout as error:
        raise WorkerUnavailable(SILENT.format(seconds=silence_seconds)) from error
    except httpx.TimeoutException as error:
        # Nobody took the connection or the question in time: a crowd, and no restart.
        raise Overloaded(BUSY, BUSY_SECONDS) from error
    except httpx.HTTPError as error:
        log.warning("the worker does not answer: %r", error)
        raise WorkerUnavailable(RESTARTING) from error
    except ValidationError as error:
        log.error("not a message of the worker: %s", error)
        raise WorkerUnavailable(STRANGE) from error


def request_headers(secret: str, client: str = "") -> dict[str, str]:
    """What goes with a request for work.

    Args:
        secret: what the worker wants to hear; empty: nothing.
        client: for whom it is; empty: for this process itself.
    """
    headers = {"Content-Type": "application/json"}
    if secret:
        headers[SECRET] = secret
    if client:
        headers[CLIENT] = client
    return headers


def read_event(line: str) -> Result | Progress | Done:
    """One line of an answer.

    Raises:
        FeaturescopeError: it says that the request ended without its result; see `refuse`.
        ValidationError: it is no event.
    """
    event = _events.validate_json(line)
    if isinstance(event, Failed):
        refuse(event)
    return event


def refuse(failed: Failed) -> NoReturn:
    """Raise what a failure means here.

    Raises:
        Overloaded: the worker's queue is full.
        InvalidRequest: the request contradicts the model.
        WorkerUnavailable: the worker is shutting down.
        WorkFailed: anything else.
    """
    match failed.code:
        case FailureCode.OVERLOADED:
            raise Overloaded(failed.message, failed.retry_after or 1)
        case FailureCode.INVALID:
            raise InvalidRequest(failed.message, failed.field)
        case FailureCode.STOPPED:
            raise WorkerUnavailable(RESTARTING)
        case _:
            raise WorkFailed(failed.message, failed.code)
