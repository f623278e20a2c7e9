"""Serving the pages: the parts put together, and the URL announced once it answers."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess

import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from app.application import create_app
from app.errors import FeaturescopeError
from app.listening import LISTEN_QUEUE, announce, check_address, listen
from app.settings import Settings
from app.store.store import open_store
from app.worker import logs
from app.worker.client.ablations import Ablations
from app.worker.client.several import worker_of
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.client.supervisor import WorkerProcess
from app.worker.server_limits import BoundedConnection, raise_descriptors

LONGEST_HEAD = 2**20  # bytes of address and headers: a prompt is part of its page's address
_MOST_SILENCE = 60  # seconds after which one of several processes is taken for hung


class Announced(uvicorn.Server):
    """A server that prints its URL at the moment that it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce."""
        await super().startup(sockets=sockets)
        if self.started and sockets:
            announce("Featurescope", sockets[0])


def build(settings: Settings) -> ASGIApp:
    """The web application over the store that the settings name, its schema brought up to date."""
    store = open_store(settings)
    worker = None if settings.worker_url else WorkerProcess(settings)
    live = (
        AsyncWorkerClient(worker.url, secret=worker.secret)
        if worker
        else worker_of(settings.worker_urls, settings.worker_secret_text)
    )
    return create_app(settings, store, Ablations(store, live), worker, live)


def server_config(app: ASGIApp | Callable[[], ASGIApp], access_log: bool = False) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        http=BoundedConnection,  # h11: the other parser takes addresses of 64 KB at most
        backlog=LISTEN_QUEUE,
        log_config=None,
        access_log=access_log,
        lifespan="on",
        timeout_graceful_shutdown=3,
        server_header=False,
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )


def serve(settings: Settings, prepare: Callable[[], None] | None = None) -> None:
    """Serve the pages until interrupted.

    `prepare` is called first, and before it the port is taken: nobody waits for something slow
    only to hear that it was in vain.
    """
    raise_descriptors()
    logs.set_up(settings.log_level, settings.log_format)
    check_address(settings.host, settings.allow_network, "reads all pages and uses the worker")
    with listen(settings.host, settings.port) as listening:
        if prepare is not None:
            prepare()
        if settings.web_processes > 1:
            started = _serve_together(settings, listening)
        else:
            server = Announced(server_config(_settled(settings), settings.log_level == "debug"))
            server.run(sockets=[listening])
            started = server.started
    if not started:
        raise FeaturescopeError("The pages could not start; the reason stands above.")


def _settled(settings: Settings) -> ASGIApp:
    """The application. What is loaded by now stays: the collector need not walk through it at every
    page."""
    app = build(settings)
    gc.collect()
    gc.freeze()
    return app


class WebProcesses(Multiprocess):
    """Several processes that accept on one socket; one that dies is replaced.

    Attributes:
        started: whether any of them has answered yet.
        interrupted: whether Ctrl-C ended it.
    """

    started = False
    interrupted = False

    def keep_subprocess_alive(self) -> None:
        """Replace who died; announce the address once, as soon as one is ready."""
        super().keep_subprocess_alive()
        if not self.started and any(process.is_ready() for process in self.processes):
            self.started = True
            announce("Featurescope", self.sockets[0])

    def handle_int(self) -> None:
        """End, and remember why."""
        self.interrupted = True
        super().handle_int()


def _serve_together(settings: Settings, listening: socket.socket) -> bool:
    """Serve from several processes, with one worker, until interrupted; whether they started."""
    open_store(settings).close()  # brought up to date by one of them, before the others look
    worker = None if settings.worker_url else WorkerProcess(settings)
    if worker is not None:
        worker.start()
        settings = settings.model_copy(
            update={"worker_url": worker.url(), "worker_secret": SecretStr(worker.secret)}
        )
    config = server_config(partial(_one_of_several, settings), settings.log_level == "debug")
    config.factory, config.workers = True, settings.web_processes
    config.timeout_worker_healthcheck = _MOST_SILENCE
    together = WebProcesses(config, sockets=[listening])
    try:
        together.run()
    finally:
        if worker is not None:
            worker.stop()
    if together.interrupted:
        raise KeyboardInterrupt
    return together.started


def _one_of_several(settings: Settings) -> ASGIApp:
    """The application in one of several processes, which ends with the one that started it."""
    raise_descriptors()
    logs.set_up(settings.log_level, settings.log_format)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    return _settled(settings)


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
