"""The worker's own ASGI application, and the process that serves it."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from app import __version__
from app.errors import Overloaded
from app.listening import LISTEN_QUEUE, KnownHosts, announce, known_hosts, listen
from app.settings import Settings
from app.worker import logs
from app.worker.process.event_stream import EventStream
from app.worker.process.jobs.registry import TorchWorkbench, Workbench
from app.worker.process.limits import Limits
from app.worker.process.scheduler import Scheduler
from app.worker.protocol.events import Failed, FailureCode, HealthReply
from app.worker.protocol.kinds import REQUESTS, STREAMS
from app.worker.protocol.requests import CLIENT, SECRET, WorkRequest
from app.worker.server_limits import BoundedConnection, raise_descriptors

GRACE_SECONDS = 3
UNKNOWN = (
    "This worker only works for the web process that knows its secret: give both the same "
    "FEATURESCOPE_WORKER_SECRET."
)


class Worker:
    """The routes, over one scheduler and one workbench."""

    def __init__(self, workbench: Workbench, device: str, limits: Limits, secret: str = "") -> None:
        self.secret = secret
        self.workbench = workbench
        self.device = device
        self.limits = limits
        self.scheduler = Scheduler(workbench.prepare, limits.jobs)

    async def health(self, _request: Request) -> Response:
        """GET /health: answers at once, whatever the device is doing.

        For example /health
        """
        broken = self.scheduler.broken
        reply = HealthReply(
            phase=self.scheduler.phase,
            message=broken.message if broken else "",
            device=self.device,
            jobs=self.scheduler.jobs,
            capacity=self.scheduler.capacity,
            step_seconds=self.scheduler.step_seconds,
            version=__version__,
        )
        return Response(reply.model_dump_json(), media_type="application/json")

    async def work(self, kind: type[WorkRequest], request: Request) -> Response:
        """POST to a kind's path: hand the request to the scheduler, stream what comes.

        For example /read
        with a ReadRequest
        """
        if not secrets.compare_digest(
            request.headers.get(SECRET, "").encode(), self.secret.encode()
        ):
            return _refusal(401, UNKNOWN)
        # Only a page of our own origin can send this type without asking first, and we never agree.
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _refusal(415, "Send the request as application/json.")
        # Read the body, within bounds of time and size.
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                body = await self._body(request)
        except TimeoutError:
            return _refusal(408, f"The body did not arrive in {self.limits.body_seconds:g} s.")
        if body is None:
            return _refusal(
                413, f"The body is longer than the {self.limits.body_bytes} bytes taken at most."
            )
        # Understand it.
        try:
            message = kind.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "body"
            return _refusal(422, f"The request is malformed at {where}: {first['msg']}.")
        seconds = self.limits.deadline_seconds
        if message.deadline_seconds is not None:
            seconds = min(seconds, message.deadline_seconds)
        # Hand the work over; its events wake this event loop.
        news = asyncio.Event()
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, news.set)
        try:
            job = self.scheduler.submit(
                self.workbench.work(message),
                seconds,
                wake,
                client=request.headers.get(CLIENT, "")[:200],
                streams=kind in STREAMS,
            )
        except Overloaded as error:
            return _refusal(503, str(error), FailureCode.OVERLOADED, error.retry_after)
        return EventStream(self.scheduler, job, news, self.limits.heartbeat_seconds)

    async def _body(self, request: Request) -> bytes | None:
        """The body; None once it is longer than allowed."""
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > self.limits.body_bytes:
                    return None
        except ClientDisconnect:
            pass  # nobody reads the answer
        return bytes(body)


def create_worker(
    settings: Settings, workbench: Workbench | None = None, limits: Limits | None = None
) -> Starlette:
    """The application; its lifespan starts and ends the device thread."""
    limits = limits or Limits()
    if settings.worker_memory is not None:
        limits = replace(limits, memory_bytes=int(settings.worker_memory * 2**30))
    worker = Worker(
        workbench or TorchWorkbench(settings.device, settings.worker_threads, limits),
        settings.device,
        limits,
        settings.worker_secret_text,
    )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        worker.scheduler.start()
        yield
        await asyncio.to_thread(worker.scheduler.close, GRACE_SECONDS)

    app = Starlette(
        routes=[
            Route("/health", worker.health, methods=["GET"]),
            *(Route(kind.path, partial(worker.work, kind), methods=["POST"]) for kind in REQUESTS),
        ],
        lifespan=lifespan,
    )
    app.state.scheduler = worker.scheduler
    return app


class WorkerServer(uvicorn.Server):
    """A server that ends its streams first: it would wait for them otherwise."""

    def __init__(self, scheduler: Scheduler, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._scheduler = scheduler

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell every client that the worker stops, then shut down."""
        await asyncio.to_thread(self._scheduler.close, GRACE_SECONDS)
        await super().shutdown(sockets)


def serve_worker(settings: Settings, host: str, port: int) -> None:
    """Serve on an address until interrupted.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    with listen(host, port) as listening:
        announce("The worker", listening)
        serve_on(listening, settings, create_worker(settings))


def serve_on(
    listening: socket.socket, settings: Settings, app: Starlette, *, stop_with_stdin: bool = False
) -> None:
    """Serve an application on a socket that listens already, until interrupted.

    With `stop_with_stdin` also until standard input closes: how the web process's child notices
    that its parent is gone.
    """
    raise_descriptors()
    logs.set_up(settings.log_level, settings.log_format)
    server = WorkerServer(
        app.state.scheduler,
        uvicorn.Config(
            KnownHosts(app, *known_hosts(listening.getsockname()[0], settings.hosts)),
            http=BoundedConnection,
            backlog=LISTEN_QUEUE,
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        ),
    )
    if stop_with_stdin:
        threading.Thread(target=_stop_with_stdin, args=(server,), daemon=True).start()
    server.run(sockets=[listening])


def _stop_with_stdin(server: uvicorn.Server) -> None:
    """End this process when its parent is gone, however that ended: then standard input closes."""
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 4096):
        pass
    server.should_exit = True
    # A step in progress, or a server that hangs, must not outlive the parent for long.
    threading.Event().wait(3 * GRACE_SECONDS)
    os._exit(1)


def _refusal(
    status: int,
    message: str,
    code: FailureCode = FailureCode.INVALID,
    retry_after: int | None = None,
) -> Response:
    body = Failed(code=code, message=message, retry_after=retry_after).model_dump_json()
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Response(body, status, headers, media_type="application/json")
