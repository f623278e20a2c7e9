"""Serving the pages: the parts put together, and the URL announced once it answers."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from app.application import create_app
from app.errors import FeaturescopeError
from app.listening import LISTEN_QUEUE, announce, check_address, listen
from app.settings import Settings
from app.store.store import open_store
from app.worker import logs
from app.worker.client.ablations import Ablations
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.client.supervisor import WorkerProcess
from app.worker.server_limits import BoundedConnection, raise_descriptors

LONGEST_HEAD = 2**20  # bytes of address and headers: a prompt is part of its page's address


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
    url = worker.url if worker else lambda: settings.worker_url
    secret = worker.secret if worker else settings.worker_secret_text
    live = AsyncWorkerClient(url, secret=secret)
    return create_app(settings, store, Ablations(store, live), worker, live)


def server_config(app: ASGIApp, access_log: bool = False) -> uvicorn.Config:
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
    logs.set_up(settings.log_level)
    check_address(settings.host, settings.allow_network, "reads all pages and uses the worker")
    with listen(settings.host, settings.port) as listening:
        if prepare is not None:
            prepare()
        config = server_config(build(settings), access_log=settings.log_level == "debug")
        # What is loaded by now stays: the collector need not walk through it at every page.
        gc.collect()
        gc.freeze()
        server = Announced(config)
        server.run(sockets=[listening])
    if not server.started:
        raise FeaturescopeError("The pages could not start; the reason stands above.")
