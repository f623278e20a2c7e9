"""The table of responsible features, streamed to a page while its exact effects arrive."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Literal, TypeVar

from starlette.concurrency import run_in_threadpool

from app.errors import WorkerUnavailable
from app.pages.prompt.ranking import EffectRanking, ranking
from app.web.live.stream import LiveEvent
from app.worker.client.attributions import Attribution
from app.worker.client.faults import STRANGE
from app.worker.client.prompts import PromptWork
from app.worker.client.streaming import LiveWorker
from app.worker.protocol.events import Estimated, Progress, Result
from app.worker.protocol.requests import AttributeRequest

REDRAW_SECONDS = 0.25
_WHOLE = 2  # stages of a table: some estimates, all of them, all exact effects

T = TypeVar("T")


class TableEvent(LiveEvent):
    """The whole table as it is by now, so that losing one event loses nothing."""

    event: Literal["table"] = "table"
    html: str


class EffectsStream:
    """Asks all dictionaries at once, and draws the table now and then.

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
        draw: Callable[[EffectRanking], str],
    ) -> None:
        self._live, self._work, self._requests, self._draw = live, work, requests, draw
        self._found: dict[str, Attribution] = {}
        self._stage, self._drawn = 0, -math.inf

    async def events(self) -> AsyncGenerator[Result | Progress, None]:
        """The worker's events about all dictionaries, each taken in before it is handed on."""
        asked = []
        for name, request in self._requests.items():
            known = self._work.known_attribution(request)
            if known is not None and known.complete:
                self._found[name] = known
            else:
                self._found[name] = Attribution()
                asked.append(self._grow(request, self._found[name]))
        async with aclosing(merged(asked)) as events:
            async for event in events:
                yield event
        yield Progress(done=1, total=1)  # whatever came last is drawn

    async def say(self, event: Result | Progress) -> TableEvent | None:  # noqa: ARG002
        """The table: at once when all estimates are there and when all is, else now and then."""
        attributions = self._found.values()
        stage = all(attribution.begun for attribution in attributions) + all(
            attribution.complete for attribution in attributions
        )
        waited = time.monotonic() - self._drawn >= REDRAW_SECONDS
        if stage == self._stage and (stage == _WHOLE or not waited):
            return None
        html = await run_in_threadpool(self._table)
        self._stage, self._drawn = stage, time.monotonic()
        return TableEvent(html=html)

    def _table(self) -> str:
        return self._draw(ranking(self._found, list(self._requests)))

    async def _grow(
        self, request: AttributeRequest, attribution: Attribution
    ) -> AsyncGenerator[Result | Progress, None]:
        """The worker's events about one dictionary, taken in and remembered."""
        async with aclosing(self._live.ask(request)) as events:
            async for event in events:
                try:
                    attribution.take(event)
                except ValueError as error:
                    raise WorkerUnavailable(STRANGE) from error
                if isinstance(event, Estimated):  # from here on it is as large as it gets
                    self._remember(request, attribution)
                yield event
        self._remember(request, attribution)

    def _remember(self, request: AttributeRequest, attribution: Attribution) -> None:
        """Keep what was found, unless another reader's stream has brought all of it meanwhile."""
        known = self._work.known_attribution(request)
        if known is None or attribution.complete or not known.complete:
            self._work.remember(request, attribution)


async def merged(streams: Iterable[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """What several streams say, as it comes. The first error ends all; all are closed at the end.

    At most one thing of each waits to be read, so that a slow reader slows the streams down.
    """
    box: asyncio.Queue[tuple[T] | Exception | None] = asyncio.Queue(1)

    async def pass_on(stream: AsyncGenerator[T, None]) -> None:
        last = None
        try:
            async with aclosing(stream):
                async for item in stream:
                    await box.put((item,))
        except Exception as error:
            last = error
        await box.put(last)

    tasks = [asyncio.create_task(pass_on(stream)) for stream in streams]
    left = len(tasks)
    try:
        while left:
            item = await box.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
