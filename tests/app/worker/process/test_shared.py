"""Equal questions share one computation, and each reader gets all of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from app.worker.process.shared import SharedWork
from app.worker.protocol.events import Event, Progress, SteerBegan


class Counted:
    """Work that counts how often it was begun and closed."""

    def __init__(self, n: int, fails: bool = False) -> None:
        self.n, self.fails = n, fails
        self.begun = self.closed = self.steps = 0

    def begin(self) -> Iterator[Event]:
        self.begun += 1
        try:
            for i in range(self.n):
                self.steps += 1
                yield Progress(done=i, total=self.n)
                yield SteerBegan(tokens=bytes([i]))
            if self.fails:
                raise ValueError("broken")
        except GeneratorExit:
            self.closed += 1
            raise


def numbers(events: Iterator[Event]) -> list[int]:
    return [event.tokens[0] for event in events if isinstance(event, SteerBegan)]


def test_readers_of_one_answer_each_get_all_of_it_and_it_is_computed_once() -> None:
    shared, work = SharedWork(), Counted(5)
    first = shared.events("a", work.begin)
    assert numbers(islice(first, 4)) == [0, 1]
    second = shared.events("a", work.begin)
    assert numbers(second) == [0, 1, 2, 3, 4]
    assert numbers(first) == [2, 3, 4]
    assert numbers(shared.events("a", work.begin)) == [0, 1, 2, 3, 4]
    assert (work.begun, work.steps, work.closed) == (1, 5, 0)


def test_other_questions_are_other_work() -> None:
    shared, one, other = SharedWork(), Counted(2), Counted(3)
    assert numbers(shared.events("a", one.begin)) == [0, 1]
    assert numbers(shared.events("b", other.begin)) == [0, 1, 2]


def test_work_goes_on_when_its_first_reader_leaves_and_is_closed_with_the_last() -> None:
    shared, work = SharedWork(), Counted(5)
    first, second = shared.events("a", work.begin), shared.events("a", work.begin)
    next(first), next(second)
    first.close()  # type: ignore[attr-defined]
    assert work.closed == 0
    next(second)
    second.close()  # type: ignore[attr-defined]
    assert work.closed == 1
    assert numbers(shared.events("a", work.begin)) == [0, 1, 2, 3, 4]
    assert work.begun == 2


def test_an_error_reaches_every_reader_and_the_next_one_tries_again() -> None:
    shared, work = SharedWork(), Counted(1, fails=True)
    first, second = shared.events("a", work.begin), shared.events("a", work.begin)
    next(first), next(second)
    for reader in (first, second):
        with pytest.raises(ValueError, match="broken"):
            list(reader)
    work.fails = False
    assert numbers(shared.events("a", work.begin)) == [0]
    assert work.begun == 2


def test_the_answers_used_longest_ago_are_forgotten() -> None:
    shared, work = SharedWork(room=10), Counted(5)
    for question in ("a", "b", "a", "c"):
        numbers(shared.events(question, work.begin))
    assert work.begun == 3
    numbers(shared.events("a", work.begin))
    assert work.begun == 3
    numbers(shared.events("b", work.begin))
    assert work.begun == 4


def test_long_arrays_count_as_several_events() -> None:
    shared = SharedWork(room=10)

    def large() -> Iterator[Event]:
        yield SteerBegan(tokens=bytes(20_000))

    small = Counted(3)
    list(shared.events("small", small.begin))
    list(shared.events("large", large))
    list(shared.events("small", small.begin))
    assert small.begun == 2
