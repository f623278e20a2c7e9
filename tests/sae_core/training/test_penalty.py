"""The penalty's weight: warm-up, steering on a toy whose L0 is known, the stand-still."""

from __future__ import annotations

import math

import pytest

from sae_core.training.config import TrainingConfig
from sae_core.training.penalty import PenaltyWeight

STEPS = 1000


def _config(**changes: object) -> TrainingConfig:
    settings = {"l0": 16, "tokens": 2 * STEPS, "batch": 2} | changes
    return TrainingConfig("standard", **settings)  # type: ignore[arg-type]


def _toy(config: TrainingConfig, first: float, steps: int = STEPS) -> list[tuple[float, float]]:
    """Weight and L0 of each step, where L0 goes to 100 / weight, a twentieth of the way a step."""
    weight, l0, history = PenaltyWeight(config), 200.0, []
    weight.begin(first)
    for step in range(steps):
        w = weight.at(step)
        l0 *= (100 / w / l0) ** 0.05
        weight.observe(step, l0)
        history.append((w, l0))
    return history


@pytest.mark.parametrize("first", [0.1, 6.25, 100.0])
@pytest.mark.parametrize("l0", [8, 32])
def test_l0_is_reached_wherever_the_weight_starts(l0: float, first: float) -> None:
    history = _toy(_config(l0=l0), first)
    assert history[-1][1] == pytest.approx(l0, rel=0.03)
    assert history[-1][0] == pytest.approx(100 / l0, rel=0.03)


def test_the_end_stands_still() -> None:
    weights = [w for w, _ in _toy(_config(), 1.0)]
    assert len(set(weights[950:])) == 1
    assert len(set(weights[900:950])) == 50


def test_a_fixed_weight_rises_and_stays() -> None:
    config = _config(l0=None, penalty=2.0, sparsity_warmup=0.1)
    weights = [w for w, _ in _toy(config, 50.0)]
    assert weights[0] == pytest.approx(2.0 / 100)
    assert weights[49] == pytest.approx(1.0)
    assert weights[99:] == pytest.approx([2.0] * 901)


def test_no_penalty_is_none() -> None:
    assert PenaltyWeight(_config(l0=None, penalty=0.0)).at(500) == 0


def test_going_on_from_a_saved_state_is_the_same() -> None:
    config = _config()
    whole, first = PenaltyWeight(config), PenaltyWeight(config)
    for step in range(300):
        for weight in (whole, first):
            weight.observe(step, 40 + 10 * math.sin(step))
    second = PenaltyWeight(config)
    second.state.copy_(first.state)
    for step in range(300, 400):
        assert whole.at(step) == second.at(step)
        for weight in (whole, second):
            weight.observe(step, 30 + 10 * math.sin(step))


def test_a_step_without_any_firing_is_taken_in() -> None:
    weight = PenaltyWeight(_config())
    weight.observe(500, 0.0)
    assert math.isfinite(weight.at(501))
    assert weight.at(501) < weight.at(0) * 1e3


def test_an_l0_out_of_reach_is_no_overflow() -> None:
    config = _config(tokens=20_000)
    weight = PenaltyWeight(config)
    for step in range(0, 20_000, 4):
        weight.observe(step, 1000.0)
    assert 1.0 < weight.at(19_999) < float("inf")
