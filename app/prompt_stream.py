"""The table of responsible features, streamed to a page while its exact effects arrive."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Literal

from starlette.concurrency import run_in_threadpool

from app.errors import WorkerUnavailable
from app.live_stream import LiveEvent
from app.prompt_attribution import Attribution, Ranking, ranking
from app.prompt_work import PromptWork
from app.worker.async_client import LiveWorker
from app.worker.events import Progress, Result
from app.worker.faults import STRANGE
from app.worker.protocol import AttributeRequest

REDRAW_SECONDS = 0.25


class TableEvent(LiveEvent):
    """The whole table as it is by now, so that losing one event loses nothing."""

    event: Literal["table"] = "table"
    html: str


class EffectsStream:
    """Asks one dictionary after the other, and draws the table now and then.

    Args:
        live: the worker.
        work: where the effects are remembered.
        requests: by dictionary.
        draw: the table of what is known; called on a thread of its own.
    """

    def __init__(
        self,
        live: LiveWorker,
        work: PromptWork,
        requests: dict[str, AttributeRequest],
        draw: Callable[[Ranking], str],
    ) -> None:
        self._live, self._work, self._requests, self._draw = live, work, requests, draw
        self._found: dict[str, Attribution] = {}
        self._drawn = -REDRAW_SECONDS

    async def events(self) -> AsyncGenerator[Result | Progress, None]:
        """The worker's events about all dictionaries, each taken in before it is handed on."""
        for name, request in self._requests.items():
            known = self._work.known_attribution(request)
            if known is not None and known.complete:
                self._found[name] = known
                continue
            found = self._found[name] = Attribution()
            self._work.remember(request, found)
            async with aclosing(self._live.ask(request)) as events:
                async for event in events:
                    try:
                        found.take(event)
                    except ValueError as error:
                        raise WorkerUnavailable(STRANGE) from error
                    yield event
        yield Progress(done=1, total=1)  # whatever came last is drawn

    async def say(self, event: Result | Progress) -> TableEvent | None:  # noqa: ARG002
        """The table, where it is complete or was not drawn for a moment."""
        known = ranking(self._found, list(self._requests))
        now = time.monotonic()
        if not known.complete and now - self._drawn < REDRAW_SECONDS:
            return None
        html = await run_in_threadpool(self._draw, known)
        self._drawn = time.monotonic()
        return TableEvent(html=html)
