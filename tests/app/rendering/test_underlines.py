"""Which changes of the loss are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from app.rendering.underlines import ALL, Underlines

CHANGES = np.array([0.0, 0.0049, 0.005, -0.005, 0.03, -0.19, 0.2, 5.0, -2.0], dtype=np.float32)


def test_steps_of_float32() -> None:
    assert ALL.levels(CHANGES).tolist() == [0, 0, 1, -1, 2, -3, 4, 6, -6]


def test_what_may_be_rounding_is_not_drawn() -> None:
    underlines = Underlines("bfloat16", 0.02)
    assert underlines.least == pytest.approx(0.06)
    assert underlines.levels(CHANGES).tolist() == [0, 0, 0, 0, 0, -3, 4, 6, -6]


def test_small_noise_does_not_lower_the_first_step() -> None:
    assert Underlines("float16", 0.001).levels(CHANGES).tolist() == ALL.levels(CHANGES).tolist()


def test_unmeasured_noise_draws_everything() -> None:
    assert Underlines("bfloat16", None).levels(CHANGES).tolist() == ALL.levels(CHANGES).tolist()
