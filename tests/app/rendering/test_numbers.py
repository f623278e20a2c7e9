"""Numbers as pages write them."""

from __future__ import annotations

import math

import pytest

from app.rendering import numbers


def test_numbers_are_short_and_true() -> None:
    assert numbers.count(1048576) == "1,048,576"
    assert [numbers.compact(n) for n in (0, 950, 1048576, 31_234)] == ["0", "950", "1.05M", "31.2k"]
    assert numbers.activation(7.4213, 7.5) == "7.42"
    assert numbers.activation(0.00421, 0.0421) == "0.0042"
    assert numbers.activation(142.3, 900) == "142"
    assert numbers.signed(-0.5) == "−0.50"
    assert numbers.percent(0.0031) == "0.310 %"
    assert numbers.percent(0) == "0 %"
    assert numbers.percent(1) == "100 %"
    assert numbers.percent(1e-8) == "1.0e-06 %"
    assert numbers.share(0.0236) == "2.4 %"
    assert numbers.number(None) == numbers.number(math.nan) == "–"
    assert numbers.number(-1234.5, 1) == "−1,234.5"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (80.27, "8,027 %"),
        (-2.06, "−206 %"),
        (3.06, "306 %"),
        (1.084, "108.4 %"),
        (1.004, "100.4 %"),
        (1.0, "100 %"),
        (0.99949, "99.9 %"),
        (0.9998, "100 %"),
        (12.3456, "1,235 %"),
        (-0.0031, "−0.310 %"),
        (0.0, "0 %"),
        (-1e-8, "−1.0e-06 %"),
        (math.nan, "–"),
        (math.inf, "–"),
        (None, "–"),
    ],
)
def test_quotients_are_never_made_to_fit(value: float | None, shown: str) -> None:
    assert numbers.quotient(value) == shown


def test_what_is_no_share_is_written_as_it_is() -> None:
    assert [numbers.percent(x) for x in (1.5, -0.25, math.nan)] == ["150 %", "−25.0 %", "–"]
    assert [numbers.percent(x) for x in (0.9994, 0.9996, 0.5)] == ["99.9 %", "100 %", "50.0 %"]


@pytest.mark.parametrize(
    ("change", "shown"),
    [(0.0, "0"), (1e-5, "+1e−05"), (-4e-4, "−4e−04"), (0.31234, "+0.312"), (-2.5, "−2.50")],
)
def test_zero_nats_are_said_only_of_exactly_zero(change: float, shown: str) -> None:
    assert numbers.nats(change) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "unknown"), (4.4, "4 s"), (75, "1 min 15 s"), (1500, "25 min"), (3900, "1 h 05 min")],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert numbers.duration(seconds) == shown
