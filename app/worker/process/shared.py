"""Long answers that several ask for, or one asks for again: computed once, given to each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from app.worker.protocol.events import Event, Progress

EVENTS_KEPT = 20_000  # some 250 texts of 40 tokens, steered and unsteered: about 20 MB
_EVENT_BYTES = 1024  # arrays that are longer count as several


class _Work:
    """Work under way or done, and what it has said so far."""

    def __init__(self, steps: Iterator[Event]) -> None:
        self.steps = steps
        self.events: list[Event] = []
        self.size = 0
        self.readers = 0
        self.ended = False
        self.error: Exception | None = None


class SharedWork:
    """Equal questions share one computation, whose answer is kept a while after its end.

    Dragging a slider back, or thirty people who follow the same link, cost no second computation.
    Only for answers that their question determines. Everything runs on the device thread.
    """

    def __init__(self, room: int = EVENTS_KEPT) -> None:
        """Keep answers that have ended while they have at most `room` events together."""
        self._room = room
        self._work: OrderedDict[str, _Work] = OrderedDict()  # used last, last

    def events(self, question: str, begin: Callable[[], Iterator[Event]]) -> Iterator[Event]:
        """All events of the answer from its first on, whoever else reads them.

        The reader whose turn comes when no event is left to tell advances the work for all. The
        work is closed when its last reader is closed before its end.

        Args:
            question: equal for equal answers.
            begin: starts the work, where it is neither under way nor kept.

        Raises:
            Exception: what the work raises is raised for each of its readers.
        """
        work = self._work.get(question)
        if work is None:
            work = self._work[question] = _Work(begin())
        self._work.move_to_end(question)
        work.readers += 1
        told = 0
        try:
            while True:
                while told < len(work.events):
                    yield work.events[told]
                    told += 1
                if work.ended:
                    if work.error is not None:
                        raise work.error
                    return
                progress = self._advance(question, work)
                if progress is not None:
                    yield progress
        finally:
            work.readers -= 1
            if not work.readers and not work.ended:
                self._forget(question, work)
                close = getattr(work.steps, "close", None)
                if close is not None:
                    close()

    def _advance(self, question: str, work: _Work) -> Progress | None:
        """One step of the work; how far it is concerns only whoever is waiting now."""
        try:
            event = next(work.steps)
        except StopIteration:
            work.ended = True
            self._make_room()
        except Exception as error:
            work.ended, work.error = True, error
            self._forget(question, work)  # it may go well the next time
        else:
            if isinstance(event, Progress):
                return event
            work.events.append(event)
            work.size += _size(event)
        return None

    def _make_room(self) -> None:
        kept = sum(work.size for work in self._work.values() if work.ended)
        for question, work in list(self._work.items()):
            if kept <= self._room:
                return
            if work.ended:
                kept -= work.size
                self._forget(question, work)

    def _forget(self, question: str, work: _Work) -> None:
        if self._work.get(question) is work:
            del self._work[question]


def _size(event: Event) -> int:
    """For how many an event counts."""
    arrays = sum(len(value) for value in vars(event).values() if isinstance(value, bytes))
    return 1 + arrays // _EVENT_BYTES
