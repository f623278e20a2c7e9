"""What both processes write on their logs: short lines, and nothing that a terminal obeys.

A message that comes again and again is counted: after `MOST` of one kind in `SECONDS` the others
are left out, and a line says how many they were.
"""

from __future__ import annotations

import atexit
import datetime
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LONGEST = 500  # characters of a message; prompts are part of addresses
LONGEST_TRACEBACK = 20_000
QUIET = ("httpx", "httpcore", "asyncio")  # a line a question, or for each step of one
ACCESS = "uvicorn.access"  # a line a request, where somebody asked for them
MOST = 20  # of one kind
SECONDS = 60.0
KINDS = 1000  # that are counted at a time

LogFormat = Literal["text", "json"]


def set_up(level: str, form: LogFormat = "text") -> None:
    """Write messages of this level and worse to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter(FORMAT) if form == "text" else JsonFormatter())
    flood = FloodFilter(handler.handle)
    handler.addFilter(flood)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    atexit.register(flood.end)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def message_of(record: logging.LogRecord) -> str:
    """What a record says, on one line, shortened, without an address's query."""
    message = record.getMessage()
    if record.name == ACCESS and isinstance(record.args, tuple):
        client, method, path, *_, status = record.args
        message = f"{client} {method} {str(path).partition('?')[0]} {status}"
    if len(message) > LONGEST:
        message = f"{message[:LONGEST]}… ({len(message):,} characters)"
    return harmless(message)


class PlainFormatter(logging.Formatter):
    """One line for a message, with its control characters visible.

    A traceback follows as it is, its own lines made harmless one by one.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line of a record."""
        record.message = message_of(record)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """The traceback, line by line."""
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(map(harmless, text[-LONGEST_TRACEBACK:].splitlines()))


class JsonFormatter(logging.Formatter):
    """A JSON document a line: time (ISO 8601, UTC), level, logger, message, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        value = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message_of(record),
        }
        if record.exc_info:
            value["traceback"] = self.formatException(record.exc_info)[-LONGEST_TRACEBACK:]
        return json.dumps(value)


@dataclass
class _Kind:
    """Messages of one logger that begin as the same sentence.

    Attributes:
        began: when the first of them came.
        seen: how many since.
        last: one that was left out; None: none was.
    """

    began: float
    seen: int = 0
    last: logging.LogRecord | None = None


class FloodFilter(logging.Filter):
    """Lets a number of records of one kind through and counts the rest of them.

    Args:
        write: writes a record on the log.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        write: Callable[[logging.LogRecord], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._write = write
        self._clock = clock
        self._kinds: dict[tuple[str, int, str], _Kind] = {}
        self._lock = threading.RLock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written. What was counted is told once its time is over."""
        if getattr(record, "counted", False) or record.name == ACCESS:
            return True
        now, name = self._clock(), (record.name, record.levelno, str(record.msg))
        with self._lock:
            for kind in [key for key, own in self._kinds.items() if now - own.began >= SECONDS]:
                self._tell(self._kinds.pop(kind))
            if name not in self._kinds and len(self._kinds) >= KINDS:
                self._tell(self._kinds.pop(next(iter(self._kinds))))
            own = self._kinds.setdefault(name, _Kind(now))
            own.seen += 1
            if own.seen <= MOST:
                return True
            own.last = record
            return False

    def end(self) -> None:
        """Tell all that was counted."""
        with self._lock:
            for own in self._kinds.values():
                self._tell(own)
            self._kinds.clear()

    def _tell(self, own: _Kind) -> None:
        if own.last is None:
            return
        told = logging.makeLogRecord(
            {
                **{name: getattr(own.last, name) for name in ("name", "levelno", "levelname")},
                "msg": "%s more like it in %.0f s: %s",
                "args": (f"{own.seen - MOST:,}", SECONDS, message_of(own.last)),
                "counted": True,
            }
        )
        self._write(told)


def harmless(text: str) -> str:
    """The text with control characters written out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
