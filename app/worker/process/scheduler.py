"""One thread owns the device and advances every job in turn, one step at a time.

A request's life here:

1. `submit`, called on the server's event loop, puts the request's generator among the newcomers,
   or refuses it where as many jobs are held as the worker takes on.
2. The device thread chooses a job: first any that has to be closed (cancelled, overdue, or the
   worker is stopping). Otherwise the client's turn comes that has had least of the device's time;
   of its streams and its short work, that which has; and of those, in turns a newcomer and the one
   that has waited longest in the round. A job with a full box is passed over until its reader has
   taken some events.
3. It takes one step of that job, and further ones while the turn has milliseconds left. Each step
   is one `next` of the generator and gives one event, which goes into the job's box; `wake` tells
   the event loop.
4. The event loop empties the box with `take` and sends the events to the client.
5. After its last event, which is Done or Failed, the job is forgotten. Otherwise it goes to the end
   of the round.
6. `cancel`, for a client that has left, and the deadline only mark a job: its generator is closed
   on the device thread, where it also runs, at its next turn.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from app.errors import Overloaded
from app.worker.process.failures import failure
from app.worker.protocol.events import Done, Event, Failed, FailureCode, HealthPhase

FULL = "The worker already holds {n} requests, as many as it takes on; try again in a moment."
LATE = "The worker did not finish within {seconds:g} seconds; ask for less at a time, or again."
STOPPED = "The worker is shutting down."
SHARE = "You have {n} requests with the worker already, its share for one client; wait for them."
RETRY_AFTER = 2
SLICE_SECONDS = 0.001

log = logging.getLogger(__name__)


class Job:
    """One request's work, and the box in which its events wait to be sent.

    All fields but `steps` are guarded by the scheduler's lock; only the device thread touches
    `steps`.
    """

    def __init__(
        self,
        steps: Iterator[Event],
        seconds: float,
        wake: Callable[[], object],
        room: int,
        client: str = "",
        streams: bool = False,
    ) -> None:
        self.steps = steps
        self.client = client
        self.streams = streams
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.wake = wake
        self.room = room
        self.box: deque[Event] = deque()
        self.cancelled = False
        self.finished = False

    @property
    def stepless(self) -> bool:
        """Cancelled or overdue: nothing is left to do but to close it."""
        return self.cancelled or time.monotonic() >= self.deadline


class _Used:
    """The device's time that a client has had.

    Attributes:
        slices: in all, of `SLICE_SECONDS`.
    """

    def __init__(self, slices: int) -> None:
        self.slices = slices
        self._lead = 0  # of streams over short work

    @property
    def streams_are_next(self) -> bool:
        """Whether streams have had less than short work."""
        return self._lead < 0

    def add(self, streams: bool, slices: int) -> None:
        """Count a turn."""
        self.slices += slices
        self._lead += slices if streams else -slices

    def settle(self) -> None:
        """Nothing is owed to streams or short work, of which there is none."""
        self._lead = 0


class Scheduler:
    """Advances generators fairly: no job waits for another one's end.

    A turn is one step and whatever more fits into a few milliseconds: the second of two contexts
    that were computed together costs nothing and need not wait. A newcomer's turn comes next, so
    that short work, which is most of the work, is done while long work goes on; newcomers and the
    jobs under way take turns, so that neither starves. Clients share the time, not the turns: a
    step of a stream is a fraction of an ablation's. Who comes begins with what the least served has
    had: nobody saves time up by being away, or gets more by asking in small pieces.
    Nobody takes all places: a quarter is left by each client to the others, an eighth by streams
    to short work, and by that to streams. A job whose reader is slow is passed over
    while `room` of its events wait. A generator's `close` is its cancellation and runs on the
    device thread like its steps.
    """

    def __init__(
        self,
        prepare: Callable[[], None],
        capacity: int,
        room: int = 64,
        turn_seconds: float = 0.01,
    ) -> None:
        """Create a scheduler; `start` starts its thread.

        Args:
            prepare: runs first on the device thread; what it raises makes the phase BROKEN.
            capacity: jobs held at most; `submit` refuses more.
            room: events of one job that may wait unread.
            turn_seconds: a job whose steps after the first have taken less in this turn goes on.
        """
        self.capacity = capacity
        self.phase = HealthPhase.STARTING
        self.broken: Failed | None = None
        self._prepare = prepare
        self._room = room
        self._turn_seconds = turn_seconds
        self._changed = threading.Condition()
        self._newcomers: deque[Job] = deque()
        self._round: deque[Job] = deque()
        self._newcomer_went = False
        self._used: dict[str, _Used] = {}  # by client
        self._running: Job | None = None
        self._step_began = 0.0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    def start(self) -> None:
        """Start the device thread."""
        self._thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """End every job after the step in progress, waiting for that at most `seconds`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def submit(
        self,
        steps: Iterator[Event],
        seconds: float,
        wake: Callable[[], object],
        client: str = "",
        streams: bool = False,
    ) -> Job:
        """Take on a generator that has not begun.

        Args:
            steps: one `next` is one step of work; it should take well under a second.
            seconds: deadline from now, the wait included.
            wake: called from the device thread whenever the job has news.
            client: for whom it is; empty: for nobody whose share is counted.
            streams: whether its answer is long and read while it comes.

        Raises:
            Overloaded: the scheduler is full, or as full of this client or kind as it may be.
        """
        with self._changed:
            self._admit(client, streams)
            job = Job(steps, seconds, wake, self._room, client, streams)
            if not self._closing:
                self._newcomers.append(job)
                self._changed.notify_all()
                return job
        job.box.append(Failed(code=FailureCode.STOPPED, message=STOPPED))
        job.finished = True
        wake()
        return job

    def take(self, job: Job) -> list[Event]:
        """The job's events so far; after the last, which is Done or Failed, there are no more."""
        with self._changed:
            events = list(job.box)
            job.box.clear()
            self._changed.notify_all()
        return events

    def cancel(self, job: Job) -> None:
        """Close the job's generator after the step in progress. Harmless when it is finished."""
        with self._changed:
            job.cancelled = True
            self._changed.notify_all()

    @property
    def jobs(self) -> int:
        """Requests held, the running one included."""
        return len(self._held())

    def _held(self) -> list[Job]:
        running = self._running
        return [*self._newcomers, *self._round, *([] if running is None else [running])]

    def _admit(self, client: str, streams: bool) -> None:
        held = self._held()
        alike = sum(job.streams is streams for job in held)
        if len(held) >= self.capacity or alike >= self.capacity - self.capacity // 8:
            raise Overloaded(FULL.format(n=len(held)), RETRY_AFTER)
        own = sum(job.client == client for job in held)
        if client and own >= max(1, self.capacity - self.capacity // 4):
            raise Overloaded(SHARE.format(n=own), RETRY_AFTER)

    @property
    def step_seconds(self) -> float:
        """How long the step in progress has been running; 0.0 when idle."""
        began = self._step_began
        return time.monotonic() - began if began else 0.0

    def _run(self) -> None:
        """What the device thread does until the scheduler is closed."""
        # Prepare: imports, and a look for the device. Requests are taken on meanwhile.
        self._step_began = time.monotonic()
        try:
            self._prepare()
        except BaseException as error:
            self.broken = failure(error)
            self.phase = HealthPhase.BROKEN
        else:
            self.phase = HealthPhase.READY
        self._step_began = 0.0
        # One turn of one job after another.
        while (job := self._wait()) is not None:
            began = time.monotonic()
            more = self._step(job)
            end = time.monotonic() + self._turn_seconds
            while more and time.monotonic() < end:
                more = self._step(job)
            with self._changed:
                self._note(job, time.monotonic() - began)
                self._running = None
                if not job.finished:
                    self._round.append(job)

    def _step(self, job: Job) -> bool:
        """Advance a job by one step; whether it can take another one at once."""
        self._step_began = time.monotonic()
        event = self._advance(job)
        self._step_began = 0.0
        with self._changed:
            job.box.append(event)
            job.finished = isinstance(event, Done | Failed)
            more = not job.finished and len(job.box) < job.room
            if job.finished:
                self._running = None
        with contextlib.suppress(RuntimeError):  # the reader's event loop is gone
            job.wake()
        return more

    def _wait(self) -> Job | None:
        """The job to advance next, taken out of its queue; None once all are ended."""
        with self._changed:
            while (job := self._choose()) is None:
                if self._closing:
                    return None
                self._changed.wait(self._until_deadline())
            self._running = job
            return job

    def _choose(self) -> Job | None:
        """The next job, taken out of its queue; None where all wait for their readers."""
        # What only has to be closed goes first: that costs nothing and makes room.
        for queue in (self._newcomers, self._round):
            for job in queue:
                if self._closing or job.stepless:
                    queue.remove(job)
                    return job
        # Of what can go on, the clients share the time, and of each the streams and short work.
        able = [*self._newcomers, *(job for job in self._round if len(job.box) < job.room)]
        if not able:
            self._newcomer_went = False
            return None
        least = min(able, key=lambda job: self._of(job.client).slices)
        able = [job for job in able if job.client == least.client]
        streams = self._of(least.client).streams_are_next
        able = [job for job in able if job.streams is streams] or able
        # Of those, newcomers and the round take turns.
        newcomer = next((job for job in self._newcomers if job in able), None)
        ready = next((job for job in self._round if job in able), None)
        self._newcomer_went = newcomer is not None and not (ready and self._newcomer_went)
        chosen = newcomer if self._newcomer_went else ready
        assert chosen is not None
        (self._newcomers if self._newcomer_went else self._round).remove(chosen)
        return chosen

    def _of(self, client: str) -> _Used:
        """What a client has had of the device's time; who comes, as much as the least served."""
        if client not in self._used:
            present = {job.client for job in self._held()} & self._used.keys()
            least = min((self._used[other].slices for other in present), default=0)
            self._used[client] = _Used(least)
        return self._used[client]

    def _note(self, job: Job, seconds: float) -> None:
        """Put a turn's time down to its client, and forget who has left and is owed nothing."""
        used, held = self._of(job.client), self._held()
        used.add(job.streams, 1 + int(seconds / SLICE_SECONDS))
        if all(other.streams is job.streams for other in held if other.client == job.client):
            used.settle()
        present = {other.client for other in held}
        least = min((self._of(client).slices for client in present), default=used.slices)
        self._used = {
            client: had
            for client, had in self._used.items()
            if client in present or had.slices > least
        }

    def _until_deadline(self) -> float | None:
        """Seconds until a job that waits for its reader is overdue."""
        deadlines = [job.deadline for job in self._round]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _advance(self, job: Job) -> Event:
        """One step, and what it has to say."""
        try:
            if self._closing:
                _close(job.steps)
                return Failed(code=FailureCode.STOPPED, message=STOPPED)
            if job.stepless:
                _close(job.steps)
                message = LATE.format(seconds=job.seconds)
                return Failed(code=FailureCode.DEADLINE, message=message)
            if self.broken is not None:
                return self.broken
            return next(job.steps)
        except StopIteration:
            return Done()
        except BaseException as error:
            return failure(error)


def _close(steps: Iterator[Event]) -> None:
    """Run the generator's `finally` blocks; an iterator that is no generator has none."""
    close = getattr(steps, "close", None)
    if close is not None:
        close()
