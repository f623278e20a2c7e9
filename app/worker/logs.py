"""What both processes write on their logs: short lines, and nothing that a terminal obeys."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LONGEST = 500  # characters of a message; prompts are part of addresses
QUIET = ("httpx", "httpcore", "asyncio")  # a line a question, or for each step of one


def set_up(level: str) -> None:
    """Write messages of this level and worse to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class PlainFormatter(logging.Formatter):
    """One line for a message, shortened, with its control characters visible; no address's query.

    A traceback follows as it is, its own lines made harmless one by one.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line of a record."""
        message = record.getMessage()
        if record.name == "uvicorn.access" and isinstance(record.args, tuple):
            client, method, path, *_, status = record.args
            message = f"{client} {method} {str(path).partition('?')[0]} {status}"
        if len(message) > LONGEST:
            message = f"{message[:LONGEST]}… ({len(message):,} characters)"
        record.message = harmless(message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """The traceback, line by line."""
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(map(harmless, text.splitlines()))


def harmless(text: str) -> str:
    """The text with control characters written out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
