"""Repetition by hand."""

from __future__ import annotations

import pytest

from sae_core.interventions.repetition import distinct_share


@pytest.mark.parametrize(
    ("tokens", "share"),
    [
        ([], 1.0),
        ([1, 2], 1.0),
        ([1, 2, 3, 4], 1.0),
        ([7, 7, 7, 7, 7], 1 / 3),
        ([1, 2] * 20, 2 / 38),  # LKLKLK and so on
        ([1, 2, 3, 1, 2, 3, 4], 4 / 5),
    ],
)
def test_distinct_triples_of_all(tokens: list[int], share: float) -> None:
    assert distinct_share(tokens) == share
