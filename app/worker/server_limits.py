"""Connections that a server holds: how many, and how long each may take to ask.

Both servers, that of the pages and the worker, take connections from whoever reaches them. One that
says nothing, or a head or a body that never ends, costs a file descriptor, and a process without
any left serves nobody: so that their number is bounded, and the longest silent one makes room.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import weakref
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0
BODY_SECONDS = 60.0
KEPT_FREE = 192  # descriptors for the store, logs, libraries, the way to the worker
MOST_CONNECTIONS = 4096
REPEAT_SECONDS = 10.0


def most_connections() -> int:
    """Connections that this process can hold: each may need a second one, to the worker."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, (soft - KEPT_FREE) // 2))


def raise_descriptors() -> None:
    """Let this process open as many files as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MOST_CONNECTIONS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class BoundedConnection(H11Protocol):
    """A connection among a bounded number, whose requests have to arrive in time.

    Attributes:
        most: connections that one server holds; None: `most_connections`.
        head_seconds: from the connection, or the first byte of a further request, to the end of
            its head.
        body_seconds: from the end of the head to the end of the body.
    """

    most: int | None = None
    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def asks(self) -> bool:
        """Whether a request is here that has not been answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, where need be in the place of the longest silent one."""
        super().connection_made(transport)
        held = _held.setdefault(self.server_state, {})
        held[self] = None
        if len(held) > (self.most or most_connections()):
            silent = next((other for other in held if not other.asks), self)
            held.pop(silent, None)
            silent.transport.abort()
            _crowded.warn("more connections than can be held: the longest silent one is closed")
        self._expect(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._unexpect()
        _held.get(self.server_state, {}).pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on with the request, and see that the rest of it comes in time."""
        had = self.cycle
        super().data_received(data)
        if self.cycle is not had:
            self._unexpect()
        if self.asks:
            if self.cycle.more_body and self._deadline is None:
                self._expect(self.body_seconds)
            elif not self.cycle.more_body:
                self._unexpect()
        elif self._deadline is None:
            self._expect(self.head_seconds)

    def on_response_complete(self) -> None:
        """The connection is silent again: it goes to the end of the row."""
        self._unexpect()
        held = _held.get(self.server_state, {})
        if self in held:
            del held[self]
            held[self] = None
        super().on_response_complete()

    def _expect(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _unexpect(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self.transport.abort()


class _Counted:
    """A line of the log that is written now and then, with how often it would have been."""

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)
        self._times = 0
        self._timer: asyncio.TimerHandle | None = None

    def warn(self, message: str) -> None:
        """Write the first at once, and how many followed it after a while."""
        if self._timer is not None:
            self._times += 1
            return
        self._log.warning(message)
        self._timer = asyncio.get_running_loop().call_later(REPEAT_SECONDS, self._sum_up, message)

    def _sum_up(self, message: str) -> None:
        self._timer = None
        if self._times:
            self._log.warning("%s (%d times more in %g s)", message, self._times, REPEAT_SECONDS)
            self._times = 0


_crowded = _Counted(__name__)
_held: weakref.WeakKeyDictionary[Any, dict[BoundedConnection, None]] = weakref.WeakKeyDictionary()
