"""Whether the application answers, and whether all of it works, for those who look after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from app import __version__
from app.errors import FeaturescopeError
from app.web.site import Site, TheSite
from app.worker.client.streaming import worker_health
from app.worker.client.supervisor import WorkerPhase
from app.worker.protocol.events import HealthPhase, HealthReply

STORE_SECONDS = 3.0
WORKER_SECONDS = 2.0
UNCACHED = {"Cache-Control": "no-store"}

router = APIRouter()


class Health(StrEnum):
    """How well a part works; the later, the worse."""

    READY = "ready"
    DEGRADED = "degraded"
    """Pages are read, but something that they may need is missing."""
    STARTING = "starting"
    BROKEN = "broken"


class PartHealth(BaseModel):
    """One part."""

    name: str = Field(description="`store`, `worker`, or the address of one of several workers.")
    health: Health
    message: str = Field(description="A sentence; empty while all is well.")


class Readiness(BaseModel):
    """The whole: broken where the store is, else starting or degraded where a worker is."""

    status: Health
    parts: list[PartHealth]
    version: str = __version__


@router.get("/health")
@router.get("/healthz")
def health() -> JSONResponse:
    """Alive. Says nothing of the store and the worker: a restart would not mend those.

    For example /health
    """
    return JSONResponse({"status": "ok"}, headers=UNCACHED)


@router.get("/ready")
async def ready(site: TheSite) -> Response:
    """How the store and the workers are: 200 while pages can be read, 503 before and otherwise.

    For example /ready
    """
    store, workers = await asyncio.gather(_store(site), _workers(site))
    readiness = Readiness(status=_together(store, workers), parts=[store, *workers])
    bad = readiness.status in (Health.STARTING, Health.BROKEN)
    return Response(
        readiness.model_dump_json(),
        503 if bad else 200,
        UNCACHED | ({"Retry-After": "2"} if bad else {}),
        media_type="application/json",
    )


def _together(store: PartHealth, workers: Sequence[PartHealth]) -> Health:
    if store.health is Health.BROKEN:
        return Health.BROKEN
    found = {worker.health for worker in workers}
    if found <= {Health.READY}:
        return Health.READY
    # Of several workers one that starts is no reason to wait: another takes the questions.
    if found <= {Health.STARTING}:
        return Health.STARTING
    return Health.DEGRADED


async def _store(site: Site) -> PartHealth:
    try:
        async with asyncio.timeout(STORE_SECONDS):
            await run_in_threadpool(site.store.check)
    except TimeoutError:
        message = f"The store has not answered for {STORE_SECONDS:g} seconds."
        return PartHealth(name="store", health=Health.BROKEN, message=message)
    except FeaturescopeError as error:
        return PartHealth(name="store", health=Health.BROKEN, message=str(error))
    return PartHealth(name="store", health=Health.READY, message="")


async def _workers(site: Site) -> list[PartHealth]:
    if site.worker is not None:
        state = site.worker.state
        return [PartHealth(name="worker", health=_OF[state.phase], message=state.message)]
    return [*await asyncio.gather(*map(_worker, site.worker_urls))]


_OF = {
    WorkerPhase.OFF: Health.STARTING,
    WorkerPhase.STARTING: Health.STARTING,
    WorkerPhase.READY: Health.READY,
    WorkerPhase.RESTARTING: Health.DEGRADED,
    WorkerPhase.BROKEN: Health.DEGRADED,
}
_SAYS: dict[HealthPhase, Health] = {
    HealthPhase.STARTING: Health.STARTING,
    HealthPhase.READY: Health.READY,
    HealthPhase.BROKEN: Health.DEGRADED,
}


async def _worker(url: str) -> PartHealth:
    try:
        reply: HealthReply = await worker_health(url, WORKER_SECONDS)
    except FeaturescopeError as error:
        return PartHealth(name=url, health=Health.DEGRADED, message=str(error))
    return PartHealth(name=url, health=_SAYS[reply.phase], message=reply.message)
