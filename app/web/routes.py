"""Routes that may need the worker: they hold no thread while they wait for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from app.web.site import Site


class PatientRoute(APIRoute):
    """A route whose function may ask for what only the worker knows.

    Where that is not known yet, the function's thread is given back, the answer is awaited, and the
    function is called again: see `app/worker/client/waiters.py`. For `APIRouter(route_class=…)`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        handle = super().get_route_handler()

        async def patient(request: Request) -> Response:
            site: Site = request.app.state.site
            return await site.waiters.patiently(partial(handle, request), request.receive)

        return patient
