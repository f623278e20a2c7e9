"""Several workers behind one web process: who is asked, and who is asked instead.

Each worker takes what it has least of: the requests of this process that are under way there, and
a few more where the model would have to be loaded first. One that cannot be reached, or dies before
it has answered anything, is passed over for a while, and the request goes to the next; so it does
where a worker's queue is full. Once a part of an answer is out, nobody else is asked: the parts of
two answers might not fit.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from app.errors import Overloaded, WorkerUnavailable
from app.worker.client.faults import NONE, RESTARTING
from app.worker.client.streaming import AsyncWorkerClient, LiveWorker
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.requests import WorkRequest

LOADING = 2  # requests that a worker may have more, if it has the model
MODELS = 4  # that a worker is taken to keep loaded
SHORTEST_REST = 0.5
LONGEST_REST = 30.0

log = logging.getLogger(__name__)


@dataclass
class _Member:
    """One worker, as this process sees it.

    Attributes:
        worker: the way to it.
        name: its address, for the log.
        under_way: requests of this process that it has.
        models: the folders of those that it was asked for last.
        failures: in a row.
        rests_until: when it is asked again, on the clock of the pool.
    """

    worker: LiveWorker
    name: str
    under_way: Counter[str] = field(default_factory=Counter)
    models: OrderedDict[str, None] = field(default_factory=OrderedDict)
    failures: int = 0
    rests_until: float = 0.0

    @property
    def load(self) -> int:
        """Requests under way."""
        return self.under_way.total()


class SeveralWorkers:
    """Asks one of several workers; a `LiveWorker` like each of them.

    Raises what they raise; WorkerUnavailable where none can be reached, Overloaded where all that
    can have a full queue.

    Args:
        workers: by address.
        clock: seconds that only grow.
    """

    def __init__(
        self, workers: Sequence[tuple[str, LiveWorker]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._members = [_Member(worker, name) for name, worker in workers]
        self._clock = clock

    async def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        """The events that answer the request, as they arrive, all from one worker."""
        model, full = request.model.path, None
        for member in self._order(model):
            answered = False
            member.under_way[model] += 1
            member.models[model] = None
            member.models.move_to_end(model)
            if len(member.models) > MODELS:
                member.models.popitem(last=False)
            try:
                async with aclosing(member.worker.ask(request)) as events:
                    async for event in events:
                        answered = answered or not isinstance(event, Progress)
                        member.failures = 0
                        yield event
                member.failures, member.rests_until = 0, 0.0
                return
            except Overloaded as error:
                if answered:
                    raise
                full = error
            except WorkerUnavailable as error:
                self._rest(member, error)
                if answered:
                    raise
            finally:
                member.under_way[model] -= 1
        if full is not None:
            raise full
        raise WorkerUnavailable(RESTARTING if self._members else NONE)

    def _order(self, model: str) -> list[_Member]:
        """Who is asked, one after the other; those that rest come last, the soonest back first."""
        now = self._clock()

        def wait(member: _Member) -> tuple[float, int, int]:
            rest = max(0.0, member.rests_until - now)
            return rest, member.load + (0 if model in member.models else LOADING), member.failures

        return sorted(self._members, key=wait)

    def _rest(self, member: _Member, error: WorkerUnavailable) -> None:
        member.models.clear()  # it starts anew, with nothing loaded
        if self._clock() < member.rests_until:  # the others that it held say nothing new
            return
        member.failures += 1
        seconds = min(LONGEST_REST, SHORTEST_REST * 2 ** (member.failures - 1))
        member.rests_until = self._clock() + seconds
        log.warning("worker %s: %s It is passed over for %.1f s.", member.name, error, seconds)

    async def close(self) -> None:
        """End all streams."""
        for member in self._members:
            await member.worker.close()


def worker_of(urls: Sequence[str], secret: str) -> LiveWorker:
    """The way to the workers at these addresses."""
    clients = [(url, AsyncWorkerClient(lambda url=url: url, secret=secret)) for url in urls]  # type: ignore[misc]
    return clients[0][1] if len(clients) == 1 else SeveralWorkers(clients)
