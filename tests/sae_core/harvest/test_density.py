"""The interval of a density against figures worked out elsewhere."""

from __future__ import annotations

import pytest

from sae_core.harvest.density import wilson_interval


def test_wilson_interval() -> None:
    low, high = wilson_interval(10, 100)
    assert low == pytest.approx(0.05522914, abs=1e-7)
    assert high == pytest.approx(0.17436566, abs=1e-7)
    assert wilson_interval(0, 100)[0] == 0
    assert wilson_interval(0, 100)[1] == pytest.approx(0.0369935, abs=1e-6)
    assert wilson_interval(100, 100)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)
