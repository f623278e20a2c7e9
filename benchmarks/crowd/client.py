"""A client that costs little: two hundred of them fit beside what they measure.

Each has an address of its own on this machine and a name, as readers on a network have.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP; 0: the connection broke, or nothing came in time.
        body: all of it.
        retry_after: seconds, where the server named them; else 0.
    """

    status: int
    body: bytes = b""
    retry_after: float = 0.0

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """A reader of one server.

    Attributes:
        port: of the server.
        number: tells it from others: its address and its name follow from it.
    """

    port: int
    number: int = 0

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection, which is closed at once on leaving."""
        local = (f"127.0.{1 + self.number // 250}.{1 + self.number % 250}", 0)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=local, limit=2**24
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def head(self, method: str, target: str, length: int | None = None, fields: str = "") -> bytes:
        """The head of a request. HTTP/1.0: the answer ends where the connection does."""
        body = (
            ""
            if length is None
            else f"Content-Type: application/json\r\nContent-Length: {length}\r\n"
        )
        return (
            f"{method} {target} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: client {self.number}\r\n"
            f"{body}{fields}\r\n"
        ).encode()

    def posted(self, target: str, question: Any, fields: str = "") -> bytes:
        """A whole request that carries a question as JSON."""
        body = json.dumps(question).encode()
        return self.head("POST", target, len(body), fields) + body

    async def ask(
        self, target: str, question: Any = None, fields: str = "", seconds: float = PATIENCE_SECONDS
    ) -> Answer:
        """The answer to GET, or to POST where there is a question.

        Args:
            target: path and query.
            question: sent as JSON.
            fields: further lines of the head.
            seconds: after which it is given up.
        """
        request = (
            self.head("GET", target, fields=fields)
            if question is None
            else self.posted(target, question, fields)
        )
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds), self.connected() as (reader, writer):
                writer.write(request)
                return parsed(await reader.read())
        return Answer(0)

    async def persist(
        self, target: str, question: Any = None, fields: str = "", seconds: float = PATIENCE_SECONDS
    ) -> tuple[Answer, list[Answer]]:
        """The first answer that is no "later", and those before it.

        A part of a page says how often it has been asked for, as htmx does.
        """
        end = time.monotonic() + seconds
        refusals: list[Answer] = []
        while True:
            attempt = f"?attempt={len(refusals)}" if "HX-Request" in fields and refusals else ""
            left = max(0.1, end - time.monotonic())
            answer = await self.ask(target + attempt, question, fields, left)
            if answer.status not in (0, 202, 503) or time.monotonic() > end:
                return answer, refusals
            refusals.append(answer)
            await asyncio.sleep(answer.retry_after or 1.0)


def parsed(text: bytes) -> Answer:
    """The bytes of an answer, taken apart; status 0 where they are none."""
    head, _, body = text.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/"):
        return Answer(0)
    fields = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return Answer(int(lines[0].split()[1]), body, float(fields.get("retry-after", 0)))
