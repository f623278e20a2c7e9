"""Waiting for the worker without a thread: plain routes give theirs back and are called again.

A plain route runs in a thread of a pool that all pages share. Where it needs an answer that is not
there yet, `wait_for` raises `Pending`, which ends the call and frees the thread; `Waiters` awaits
the answer on the event loop and calls the route again, which then finds it. Equal questions share
one answer, their number is bounded, and a wait ends with its reader; with the last reader of an
answer the work for it ends, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import aclosing, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.errors import FeaturescopeError, Overloaded, ReaderGone, WorkerUnavailable
from app.worker.client.streaming import LiveWorker
from app.worker.connection import while_connected
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.requests import WorkRequest

MOST_WAITING = 256  # different questions; to wait costs less than to be refused and ask again
MOST_READERS = 1000
WAIT_SECONDS = 330.0  # a little more than the worker takes on; its own deadline comes first
MOST_ROUNDS = 64  # answers that one request may need, one after the other
RETRY_AFTER = 2
GONE = "The reader has gone."
CROWD = "{n} readers wait for the worker already; try again in a moment."
LATE = "The worker has not answered for {seconds:g} seconds; try again in a moment."

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, Any]]


class Pending(Exception):
    """An answer that has to be waited for.

    Attributes:
        key: what makes two questions equal.
        work: finds the answer, on the event loop.
    """

    def __init__(self, key: Hashable, work: Work) -> None:
        super().__init__(key)
        self.key = key
        self.work = work


@dataclass(frozen=True)
class _Outcome:
    """How a wait ended: with an answer, or with an error that belongs in its place."""

    answer: Any = None
    error: FeaturescopeError | None = None


@dataclass
class _Question:
    """An answer that is being worked out, and how many wait for it."""

    task: asyncio.Task[Any]
    readers: int = 0


_outcomes: ContextVar[dict[Hashable, _Outcome] | None] = ContextVar("outcomes", default=None)


def wait_for(key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer to a question, as far as a request has waited for it. Called in a thread.

    Args:
        key: what makes two questions equal.
        work: finds the answer, on the event loop.

    Raises:
        Pending: it has to be waited for.
        FeaturescopeError: there is none, for the reason that the work gave.
    """
    outcome = (_outcomes.get() or {}).get(key)
    if outcome is None:
        raise Pending(key, work)
    if outcome.error is not None:
        raise outcome.error
    answer: T = outcome.answer
    return answer


class Waiters:
    """All requests that wait. Belongs to one event loop."""

    def __init__(
        self,
        most: int = MOST_WAITING,
        most_readers: int = MOST_READERS,
        seconds: float = WAIT_SECONDS,
    ) -> None:
        self._most = most
        self._most_readers = most_readers
        self._seconds = seconds
        self._questions: dict[Hashable, _Question] = {}
        self._waiting = 0

    def all(self, live: LiveWorker, request: WorkRequest) -> list[Result | Progress]:
        """All events that answer a request. Called in a thread of a plain route.

        Raises:
            Pending: they have to be waited for.
            FeaturescopeError: the worker refused, or cannot be reached.
        """
        return wait_for((type(request), request, "events"), partial(collected, live, request))

    async def patiently(
        self,
        attempt: Callable[[], Awaitable[T]],
        receive: Receive | None = None,
        permit: Callable[[], None] = lambda: None,
    ) -> T:
        """What `attempt` gives once every answer that it needs is there.

        Args:
            attempt: called again after each wait.
            receive: the ASGI channel of the reader, whose leaving ends the wait.
            permit: called before a wait begins; may refuse it.
        """
        outcomes: dict[Hashable, _Outcome] = {}
        before = _outcomes.set(outcomes)
        try:
            for _ in range(MOST_ROUNDS):
                try:
                    return await attempt()
                except Pending as pending:
                    needed = pending
                permit()
                try:
                    outcomes[needed.key] = _Outcome(answer=await self._answer(needed, receive))
                except FeaturescopeError as error:
                    outcomes[needed.key] = _Outcome(error=error)
        finally:
            _outcomes.reset(before)
        raise RuntimeError(f"a request waited {MOST_ROUNDS} times and has no answer")

    async def _answer(self, needed: Pending, receive: Receive | None) -> Any:
        """Wait for an answer together with everybody who needs it.

        Raises:
            Overloaded: too many wait already.
            WorkerUnavailable: it took too long, or the reader has gone.
        """
        question = self._questions.get(needed.key)
        if self._waiting >= self._most_readers or (
            question is None and len(self._questions) >= self._most
        ):
            raise Overloaded(CROWD.format(n=self._waiting), RETRY_AFTER)
        if question is None:
            question = _Question(asyncio.create_task(needed.work()))
            self._questions[needed.key] = question
        question.readers += 1
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                answer = _of(question.task)
                return await (answer if receive is None else while_connected(receive, answer))
        except ClientDisconnect:
            raise ReaderGone(GONE) from None
        except TimeoutError:
            raise WorkerUnavailable(LATE.format(seconds=self._seconds)) from None
        finally:
            self._waiting -= 1
            question.readers -= 1
            if question.task.done() or not question.readers:
                await self._end(needed.key, question)

    async def _end(self, key: Hashable, question: _Question) -> None:
        """Forget a question that is answered, or that nobody asks any longer."""
        if self._questions.get(key) is question:
            del self._questions[key]
        if not question.task.done():
            question.task.cancel()
            with suppress(asyncio.CancelledError, FeaturescopeError):
                await question.task


async def _of(task: asyncio.Task[T]) -> T:
    """A task's result; who stops waiting for it does not end it."""
    return await asyncio.shield(task)


async def collected(live: LiveWorker, request: WorkRequest) -> list[Result | Progress]:
    """All events that answer a request."""
    async with aclosing(live.ask(request)) as events:
        return [event async for event in events]
