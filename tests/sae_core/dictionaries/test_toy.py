"""Toy data are what they say, and matching is the best there is."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from sae_core.errors import TrainingError
from sae_core.toy.data import ToyConfig, ToyStream, match, random_rows, toy_data

SMALL = ToyConfig(directions=6, dimensions=3, fewest=1, most=2, samples=4000)


def test_data_are_as_configured() -> None:
    data = toy_data(SMALL)
    assert np.linalg.norm(data.directions, axis=1) == pytest.approx(np.ones(6))
    n_active = (data.coefficients > 0).sum(axis=1)
    assert set(n_active.tolist()) == {1, 2}
    assert abs((n_active == 1).mean() - 0.5) < 0.05
    strengths = data.coefficients[data.coefficients > 0]
    # A normal (1.5, 0.8) above 0: mean 1.5 + 0.8 phi(1.875) / Phi(1.875) = 1.5568.
    assert strengths.mean() == pytest.approx(1.5568, abs=0.03)
    rest = data.x - data.coefficients @ data.directions
    assert rest.std() == pytest.approx(0.05, rel=0.05)
    again = toy_data(SMALL)
    assert (again.x == data.x).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"fewest": 0},
        {"most": 40},
        {"fewest": 4, "most": 3},
        {"noise": -1.0},
        {"strength": 0.0},
        {"samples": 0},
    ],
)
def test_data_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        ToyConfig(**wrong)  # type: ignore[arg-type]


def test_the_stream_gives_every_sample_once_an_epoch() -> None:
    data = toy_data(SMALL)
    stream = ToyStream(data, batch=500, seed=3)
    epoch = torch.cat([stream.batch(n) for n in range(8)])
    assert (
        epoch.double().sort(dim=0).values - torch.from_numpy(data.x).sort(dim=0).values
    ).abs().max() < 1e-6
    later = stream.batch(9)
    assert not torch.equal(later, stream.batch(1))
    assert torch.equal(later, ToyStream(data, batch=500, seed=3).batch(9))
    assert stream.identity != ToyStream(data, batch=500, seed=4).identity
    assert stream.mean_square_deviation == pytest.approx(
        stream.mean_square_norm - float(stream.mean.pow(2).sum()), rel=1e-5
    )
    with pytest.raises(TrainingError, match="5000"):
        ToyStream(data, batch=5000, seed=0)


def test_matching_is_the_best_of_all_assignments() -> None:
    draw = np.random.default_rng(0)
    directions, rows = draw.normal(size=(4, 3)), draw.normal(size=(6, 3))
    rows[5] = 0.0
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ (rows / np.where(lengths > 0, lengths, 1)).T
    best = max(
        sum(cosines[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(6), 4)
    )
    found = match(directions, rows)
    assert found.cosines.sum() == pytest.approx(best)
    assert found.cosines == pytest.approx(cosines[np.arange(4), found.rows])


def test_one_row_stands_for_one_direction() -> None:
    directions = np.array([[1.0, 0.0], [0.9998, 0.02]])
    found = match(directions, np.array([[2.0, 0.0], [0.0, 1.0]]))
    assert found.found == 1
    assert match(directions, np.array([[1.0, 0.0]])).cosines.min() == -1.0


def test_chance_is_the_same_each_time() -> None:
    assert (random_rows(5, 3, 1) == random_rows(5, 3, 1)).all()
    assert np.linalg.norm(random_rows(5, 3, 1), axis=1) == pytest.approx(np.ones(5))
