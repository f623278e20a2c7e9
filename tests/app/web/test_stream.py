"""Events on their way to a browser: form, heartbeats, endings, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from app.errors import FeaturescopeError, InvalidRequest, Overloaded, WorkerUnavailable
from app.listening import listen
from app.web import errors as rendering_errors
from app.web.live.stream import LiveEvent, LiveStream
from app.worker.protocol.events import Progress, Result
from tests import own_loop

Events = AsyncGenerator[Result | Progress, None]


class Count(LiveEvent):
    event: str = "count"
    done: int


def say(event: Result | Progress) -> LiveEvent | None:
    assert isinstance(event, Progress)
    return Count(done=event.done) if event.done % 10 != 9 else None


class Source:
    """Counts up; knows whether it was closed."""

    def __init__(
        self, n: int, seconds: float = 0.0, error: Exception | None = None, first: float = 0.0
    ) -> None:
        self.n, self.seconds, self.error, self.first = n, seconds, error, first
        self.said = 0
        self.closed = False

    async def events(self) -> Events:
        try:
            await asyncio.sleep(self.first)
            for number in range(self.n):
                yield Progress(done=number, total=self.n)
                self.said += 1
                await asyncio.sleep(self.seconds)
            if self.error:
                raise self.error
        finally:
            self.closed = True


@pytest.fixture
def serve() -> Iterator[Callable[[Source], str]]:
    """Serve a source's stream on a real socket, as the application would."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(source: Source, **options: Any) -> str:
        app = FastAPI()
        rendering_errors.install(app)
        app.add_middleware(GZipMiddleware, minimum_size=10)

        @app.get("/api/stream")
        def stream() -> Response:
            return LiveStream(source.events(), say, **({"heartbeat_seconds": 0.1} | options))

        listening = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}/api/stream"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def parsed(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event; comments left out."""
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            events.append((lines["event"], json.loads(lines["data"])))
    return events


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def test_events_come_in_order_and_end_with_done(serve: Callable[..., str]) -> None:
    answer = httpx.get(serve(Source(25)), headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["cache-control"] == "no-store"
    assert "content-encoding" not in answer.headers
    events = parsed(answer.text)
    assert [name for name, _ in events] == ["count"] * 23 + ["done"]
    assert [data["done"] for _, data in events[:-1]] == [n for n in range(25) if n % 10 != 9]
    assert events[-1] == ("done", {"event": "done"})


def test_each_event_is_sent_when_it_comes(serve: Callable[..., str]) -> None:
    source = Source(1000, seconds=0.05)
    with httpx.stream("GET", serve(source), headers={"Accept-Encoding": "gzip"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: count"
        assert source.said < 50


def test_silence_is_filled_with_comments(serve: Callable[..., str]) -> None:
    answer = httpx.get(serve(Source(2, seconds=0.35)))
    assert answer.text.count(": still at it") >= 4
    assert len(parsed(answer.text)) == 3


@pytest.mark.parametrize(
    ("error", "status", "again"),
    [
        (InvalidRequest("The prompt has 200 tokens."), 422, None),
        (WorkerUnavailable("It is restarting."), 503, "2"),
        (Overloaded("Too much to do.", 7), 503, "7"),
    ],
)
def test_what_fails_at_once_is_a_status(
    serve: Callable[..., str], error: FeaturescopeError, status: int, again: str | None
) -> None:
    answer = httpx.get(serve(Source(0, error=error)))
    assert answer.status_code == status
    assert answer.json()["detail"] == str(error)
    assert answer.headers.get("retry-after") == again


@pytest.mark.parametrize(
    ("error", "status", "again"),
    [
        (InvalidRequest("It makes no sense."), 422, None),
        (InvalidRequest("Too many tokens.", "n_tokens"), 422, None),
        (WorkerUnavailable("It died."), 503, 1),
        (Overloaded("Too much to do.", 7), 503, 7),
    ],
)
def test_what_fails_later_is_the_last_event(
    serve: Callable[..., str], error: FeaturescopeError, status: int, again: int | None
) -> None:
    name, data = parsed(httpx.get(serve(Source(3, error=error))).text)[-1]
    assert name == "failed"
    expected = {"event": "failed", "status": status, "detail": str(error), "retry_after": again}
    expected["field"] = getattr(error, "field", "") or None
    assert data == expected


def test_a_first_event_that_is_late_opens_the_stream(serve: Callable[..., str]) -> None:
    source = Source(0, error=InvalidRequest("No."), first=0.5)
    answer = httpx.get(serve(source, patience_seconds=0.1))
    assert answer.status_code == 200
    assert parsed(answer.text)[-1][0] == "failed"


def test_a_defect_is_a_sentence_without_details(serve: Callable[..., str]) -> None:
    answer = httpx.get(serve(Source(2, error=KeyError("a secret"))))
    name, data = parsed(answer.text)[-1]
    assert (name, data["status"]) == ("failed", 500)
    assert "secret" not in answer.text


@pytest.mark.parametrize("seconds", [0.01, 60.0])
def test_a_client_that_leaves_closes_the_source(serve: Callable[..., str], seconds: float) -> None:
    source = Source(1_000_000, seconds=seconds)
    with httpx.stream("GET", serve(source)) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert not source.closed
    wait(lambda: source.closed)


def test_a_client_that_leaves_before_the_first_event(serve: Callable[..., str]) -> None:
    source = Source(1, first=60.0)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(serve(source, patience_seconds=60.0), timeout=0.3)
    wait(lambda: source.closed)


def test_a_client_that_reads_slowly_slows_the_source_down() -> None:
    async def work() -> None:
        source = Source(10_000)
        gone = asyncio.Event()

        async def receive() -> dict[str, str]:
            await gone.wait()
            return {"type": "http.disconnect"}

        taken = asyncio.Event()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                taken.set()
                await asyncio.sleep(3600)

        stream = LiveStream(source.events(), say, room=8)
        answering = asyncio.create_task(stream({"type": "http"}, receive, send))
        await taken.wait()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert source.said < 40
        gone.set()
        await asyncio.wait_for(answering, 10)
        assert source.closed

    own_loop.run(work())
