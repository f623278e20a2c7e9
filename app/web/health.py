"""Whether the application answers, for health checks."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse

router = APIRouter()


@router.get("/healthz")
def health() -> JSONResponse:
    """Alive. Says nothing of the worker, without which pages are still read.

    For example /healthz
    """
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})
