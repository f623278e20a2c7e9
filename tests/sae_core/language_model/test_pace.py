"""How much is computed at a time, with a clock of the test's own."""

from __future__ import annotations

import pytest

from sae_core.language_model import pace
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.pace import STEP_SECONDS, Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [0.0]
    monkeypatch.setattr("sae_core.language_model.pace.time.perf_counter", lambda: now[0])
    return now


def take(steps: Pace, clock: list[float], length: int, seconds_a_token: float) -> int:
    rows = steps.rows(length)
    with steps.step(rows * length):
        clock[0] += rows * length * seconds_a_token
    return rows


def test_steps_come_to_take_as_long_as_they_should(gpt2: LanguageModel, clock: list[float]) -> None:
    for seconds_a_token in (1e-5, 1e-4, 1e-6):
        steps = Pace(gpt2, 32)
        for _ in range(12):
            rows = take(steps, clock, 20, seconds_a_token)
        assert rows == pytest.approx(STEP_SECONDS / seconds_a_token / 20, abs=1)


def test_one_odd_step_hardly_matters(gpt2: LanguageModel, clock: list[float]) -> None:
    steps = Pace(gpt2, 32)
    for _ in range(12):
        rows = take(steps, clock, 1, 1e-5)
    take(steps, clock, 1, 1.0)
    assert steps.rows(1) == pytest.approx(rows / 2, abs=1)
    steps = Pace(gpt2, 32)
    before = steps.rows(1)
    take(steps, clock, 1, 0.0)
    assert steps.rows(1) == 2 * before


def test_there_is_always_a_next_step(gpt2: LanguageModel, clock: list[float]) -> None:
    steps = Pace(gpt2, 32)
    for _ in range(30):
        take(steps, clock, 10**6, 1.0)
    assert steps.rows(10**6) == steps.rows(2) == 1


def test_memory_and_large_models_bound_it(
    gpt2: LanguageModel, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Pace(gpt2, 1 << 20)
    for _ in range(30):
        take(steps, clock, 1, 0.0)
    assert steps.rows(1) == 16
    size = sum(weight.numel() for weight in gpt2.module.parameters())
    monkeypatch.setattr(pace, "_FIRST_PRODUCTS", 7 * size)
    assert Pace(gpt2, 32).rows(1) == 7
    monkeypatch.setattr(pace, "_FIRST_PRODUCTS", 1)
    assert Pace(gpt2, 32).rows(1) == 1
