"""The web application: pages and JSON over a store, with the worker at its side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware

from app.listening import KnownHosts, known_hosts
from app.pages.audit.contrast import api as contrast_api
from app.pages.audit.contrast import routes as contrast_pages
from app.pages.audit.experiments import api as experiments_api
from app.pages.audit.experiments import routes as experiments_pages
from app.pages.audit.monitors import api as monitors_api
from app.pages.audit.monitors import routes as monitors_pages
from app.pages.compare import api as compare_api
from app.pages.compare import routes as compare_pages
from app.pages.compare.moments import api as moments_api
from app.pages.compare.moments import routes as moments_pages
from app.pages.dictionary import api as dictionary_api
from app.pages.dictionary import routes as dictionary_pages
from app.pages.dictionary.automata import api as automata_api
from app.pages.dictionary.automata import routes as automata_pages
from app.pages.dictionary.map import api as map_api
from app.pages.dictionary.map import routes as map_pages
from app.pages.feature import api as feature_api
from app.pages.feature import routes as feature_pages
from app.pages.glossary import api as glossary_api
from app.pages.glossary import routes as glossary_pages
from app.pages.graph import api as graph_api
from app.pages.graph import routes as graph_pages
from app.pages.graph.circuit import api as circuit_api
from app.pages.graph.circuit import routes as circuit_pages
from app.pages.home import api as home_api
from app.pages.home import routes as home_pages
from app.pages.labels import api as labels_api
from app.pages.labels import routes as labels_pages
from app.pages.lists import api as lists_api
from app.pages.lists import routes as lists_pages
from app.pages.prompt import api as prompt_api
from app.pages.prompt import routes as prompt_pages
from app.pages.rate import api as rate_api
from app.pages.rate import routes as rate_pages
from app.pages.runs import api as runs_api
from app.pages.runs import routes as runs_pages
from app.pages.runs.sweeps import api as sweeps_api
from app.pages.runs.sweeps import routes as sweeps_pages
from app.pages.search import api as search_api
from app.pages.search import routes as search_pages
from app.pages.steer import api as steer_api
from app.pages.steer import routes as steer_pages
from app.pages.steer.chat import api as chat_api
from app.pages.steer.chat import routes as chat_pages
from app.pages.steer.openai import api as openai_api
from app.rendering.assets import Assets
from app.rendering.templates import Renderer
from app.rendering.tokens import Typesets
from app.settings import Settings, resource
from app.store.store import Store
from app.web import errors, health
from app.web.headers import HeadAsGet, SecurityHeaders
from app.web.site import Site
from app.worker.alarms.desk import alarm_desk
from app.worker.client.ablations import Ablations
from app.worker.client.prompts import PromptWork
from app.worker.client.streaming import AsyncWorkerClient, LiveWorker
from app.worker.client.supervisor import WorkerProcess
from app.worker.client.waiters import Waiters

THREADS = 10  # nobody waits in one: more would only take the interpreter from each other

API_DESCRIPTION = (
    "Everything that Featurescope's pages show, as JSON. Activations are in units of the model's "
    "own activation, losses in nats; every address below /api/v1 mirrors the address of a page."
)

# The map of the URLs: a room for each address, with its pages and their JSON twins. A dictionary's
# own addresses (/d/M/D/about) are tried before those that name a feature (/d/M/D/12).
ROOMS = (
    (home_pages, home_api),  # /
    (glossary_pages, glossary_api),  # /glossary
    (dictionary_pages, dictionary_api),  # /d/MODEL/DICTIONARY
    (map_pages, map_api),  # /d/MODEL/DICTIONARY/map
    (automata_pages, automata_api),  # /d/MODEL/DICTIONARY/automata
    (feature_pages, feature_api),  # /d/MODEL/DICTIONARY/12
    (labels_pages, labels_api),  # /d/MODEL/DICTIONARY/12/labels
    (lists_pages, lists_api),  # /lists/NAME
    (rate_pages, rate_api),  # /rate/STUDY
    (search_pages, search_api),  # /search
    (contrast_pages, contrast_api),  # /contrast
    (monitors_pages, monitors_api),  # /monitors
    (experiments_pages, experiments_api),  # /experiments
    (prompt_pages, prompt_api),  # /m/MODEL/prompt
    (steer_pages, steer_api),  # /m/MODEL/steer
    (chat_pages, chat_api),  # /m/MODEL/chat
    (graph_pages, graph_api),  # /m/MODEL/graph
    (circuit_pages, circuit_api),  # /m/MODEL/circuit
    (runs_pages, runs_api),  # /runs
    (sweeps_pages, sweeps_api),  # /sweeps/NAME
    (compare_pages, compare_api),  # /compare/NAME
    (moments_pages, moments_api),  # /over-training
)


def create_app(
    settings: Settings,
    store: Store,
    ablations: Ablations,
    worker: WorkerProcess | None,
    live: LiveWorker | None = None,
) -> FastAPI:
    """Put the application together. Nothing is started before its lifespan begins.

    Args:
        settings: where to serve.
        store: what pages read.
        ablations: what pages ask for.
        worker: the child process that lives as long as the application, if it has one.
        live: the way to the worker for streams; None: there is no worker.
    """
    streams = live or AsyncWorkerClient(lambda: None)
    waiters = Waiters()
    alarms = alarm_desk(settings, store)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = min(THREADS, settings.database_connections)
        try:
            if worker is not None:
                await run_in_threadpool(worker.start)
            yield
        finally:
            await ablations.close()
            await streams.close()
            await run_in_threadpool(alarms.close)
            if worker is not None:
                await run_in_threadpool(worker.stop)

    app = FastAPI(
        title="Featurescope",
        summary="A browser for the features of sparse autoencoders.",
        description=API_DESCRIPTION,
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    assets = Assets(resource("static"))
    app.state.site = Site(
        store,
        ablations,
        worker,
        Renderer(resource("templates"), assets),
        Typesets(),
        streams,
        PromptWork(streams),
        waiters,
        alarms,
        home=settings.home,
        worker_urls=settings.worker_urls,
    )
    errors.install(app)
    app.include_router(health.router, include_in_schema=False)
    app.include_router(openai_api.router, include_in_schema=False)  # /v1, OpenAI's API
    for pages, interface in ROOMS:
        app.include_router(pages.router, include_in_schema=False)
        app.include_router(interface.router)
    app.mount("/static", assets, name="static")
    app.add_middleware(HeadAsGet)
    app.add_middleware(GZipMiddleware, minimum_size=600, compresslevel=5)
    names, numbers = known_hosts(settings.host, settings.hosts)
    app.add_middleware(KnownHosts, names=names, numbers=numbers)
    app.add_middleware(SecurityHeaders)
    return app
