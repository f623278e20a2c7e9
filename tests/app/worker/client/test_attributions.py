"""Estimates and exact effects as they arrive, and their order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from app.pages.prompt.query import FeatureName
from app.pages.prompt.ranking import ranking
from app.worker.client.attributions import Attribution
from app.worker.protocol.events import Attributed, Estimated, Progress


def packed(values: Any, kind: str) -> bytes:
    return np.array(values, kind).tobytes()


def estimated(features: list[int], changes: list[float]) -> Estimated:
    return Estimated(
        log_probability=-1.5,
        features=packed(features, "<i4"),
        loss_change=packed(changes, "<f4"),
    )


def attributed(features: list[int], changes: list[float]) -> Attributed:
    return Attributed(features=packed(features, "<i4"), loss_change=packed(changes, "<f4"))


def test_exact_effects_take_their_places_in_whatever_order() -> None:
    found = Attribution()
    assert not found.begun
    assert not found.complete
    found.take(Progress(done=0, total=3))
    found.take(estimated([2, 5, 9], [0.5, -1.0, 0.25]))
    assert (found.begun, found.complete, found.known) == (True, False, 0)
    found.take(attributed([9, 2], [3.0, 1.0]))
    assert found.known == 2
    assert found.of(9) == (0.25, 3.0)
    assert found.of(5)[0] == -1.0
    assert math.isnan(found.of(5)[1])
    assert all(math.isnan(value) for value in (*found.of(3), *found.of(100)))
    found.take(attributed([5], [2.0]))
    assert found.complete
    assert found.effects.exact.tolist() == [1.0, 2.0, 3.0]


def test_nothing_in_question_is_complete_at_once() -> None:
    found = Attribution()
    found.take(estimated([], []))
    assert found.complete
    assert ranking({"m": found}, ["m"]).complete


@pytest.mark.parametrize(
    "event",
    [
        attributed([3], [1.0]),
        attributed([2, 5], [1.0]),
        estimated([5, 2], [1.0, 1.0]),
        estimated([5, 5], [1.0, 1.0]),
        estimated([5], [1.0, 1.0]),
    ],
)
def test_events_that_do_not_fit_are_refused(event: Any) -> None:
    found = Attribution()
    found.take(estimated([2, 5], [0.0, 0.0]))
    with pytest.raises(ValueError):
        found.take(event)


def test_exact_effects_before_any_estimate_are_refused() -> None:
    with pytest.raises(ValueError):
        Attribution().take(attributed([1], [1.0]))


def test_the_order_of_several_dictionaries_takes_what_is_best_known() -> None:
    one, two, late = Attribution(), Attribution(), Attribution()
    one.take(estimated([1, 2], [0.5, -9.0]))
    one.take(attributed([2], [-0.125]))
    two.take(estimated([1], [0.25]))
    known = ranking({"b": two, "a": one, "c": late}, ["a", "b", "c"])
    assert known.names == (FeatureName("a", 1), FeatureName("a", 2), FeatureName("b", 1))
    assert known.best.tolist() == [0.5, -0.125, 0.25]
    assert known.order == [0, 2, 1]
    assert (known.known, known.complete, known.log_probability) == (1, False, -1.5)
    nothing = ranking({}, ["a"])
    assert (nothing.names, nothing.complete) == ((), False)
    assert math.isnan(nothing.log_probability)


def test_a_reader_sees_the_state_before_an_event_or_after_it() -> None:
    """Pages read in threads of their own what a stream takes in meanwhile."""
    changed: list[str] = []

    class Watched(Attribution):
        def __setattr__(self, name: str, value: Any) -> None:
            changed.append(name)
            super().__setattr__(name, value)

    found = Watched()
    for event in (estimated([2, 5], [0.5, -1.0]), attributed([5], [2.0])):
        before = found.effects
        seen = (before.known, before.features.tolist())
        changed.clear()
        found.take(event)
        assert changed == ["effects"]
        assert (before.known, before.features.tolist()) == seen
    assert found.known == 1
