"""Contrasts of texts: exact nulls by brute force, and a planted feature among many."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from sae_core.audit.contrast import ranks as module
from sae_core.audit.contrast.examples import contrast
from sae_core.audit.contrast.ranks import auroc, benjamini_hochberg, mann_whitney


def brute_auroc(values, wanted) -> float:
    pairs = [(a, b) for a in values[wanted] for b in values[~wanted]]
    return float(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]))


def brute_p(values, wanted) -> float:
    observed = brute_auroc(values, wanted)
    areas = []
    for some in combinations(range(len(values)), int(wanted.sum())):
        dealt = np.zeros(len(values), dtype=bool)
        dealt[list(some)] = True
        areas.append(brute_auroc(values, dealt))
    return float(np.mean(np.array(areas) >= observed - 1e-12))


@pytest.mark.parametrize("seed", range(8))
def test_the_exact_null_is_that_of_all_ways_to_deal_ties_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = rng.permutation(np.arange(8) < 3 + seed % 3)
    values = rng.integers(0, 2 + seed, 8).astype(float)
    assert auroc(values[:, None], wanted)[0] == pytest.approx(brute_auroc(values, wanted))
    assert mann_whitney(values, wanted) == pytest.approx(brute_p(values, wanted))


def test_perfect_separation_has_the_smallest_p_value() -> None:
    values = np.arange(10.0)
    assert mann_whitney(values, values >= 5) == pytest.approx(1 / math.comb(10, 5))
    assert mann_whitney(np.zeros(10), values >= 5) == 1.0


@pytest.mark.parametrize("ties", [3, 1000])
def test_the_approximation_is_near_the_exact_null(ties: int, monkeypatch) -> None:
    rng = np.random.default_rng(1)
    wanted = np.arange(40) < 18
    for shift in (0.0, 0.3, 0.8):
        values = np.floor(ties * (rng.random(40) + shift * wanted))
        exact = mann_whitney(values, wanted)
        monkeypatch.setattr(module, "MOST_EXACT", 0)
        assert mann_whitney(values, wanted) == pytest.approx(exact, rel=0.15, abs=2e-3)
        monkeypatch.undo()


def test_the_correction_by_hand() -> None:
    corrected = benjamini_hochberg(np.array([0.03, 0.01, 0.04, 0.5]))
    assert corrected == pytest.approx([4 * 0.04 / 3, 0.04, 4 * 0.04 / 3, 0.5])


def sparse(maxima):
    return [
        (np.flatnonzero(row).astype(np.int32), row[row > 0].astype(np.float32)) for row in maxima
    ]


def random_texts(rng, n: int, d: int = 2000):
    return np.where(rng.random((n, d)) < 0.2, rng.gamma(2.0, 1.0, (n, d)), 0.0)


def test_a_planted_feature_is_found_among_two_thousand() -> None:
    rng = np.random.default_rng(3)
    on, off = random_texts(rng, 24), random_texts(rng, 24)
    on[:, 1234] += 5.0
    result = contrast(sparse(on), sparse(off))
    best = result.features[0]
    assert (best.feature, best.chosen, best.held_out) == (1234, 1.0, 1.0)
    assert best.p_value == pytest.approx(result.least_p) == pytest.approx(1 / math.comb(24, 12))
    assert best.corrected < 1e-5
    assert best.mean_on > best.mean_off
    assert all(feature.corrected > 0.05 for feature in result.features[1:])


def test_where_nothing_is_planted_hardly_anything_is_found() -> None:
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(40):
        on, off = random_texts(rng, 12, 400), random_texts(rng, 12, 400)
        result = contrast(sparse(on), sparse(off))
        found += any(feature.corrected <= 0.05 for feature in result.features)
    assert found <= 5  # 2 are expected at the most; more than 5 have a probability below 1.5 %


def test_texts_on_which_nothing_fires_are_texts() -> None:
    nothing = (np.zeros(0, np.int32), np.zeros(0, np.float32))
    one = (np.array([7], np.int32), np.array([1.0], np.float32))
    result = contrast([one] * 4, [nothing] * 4)
    assert [feature.feature for feature in result.features] == [7]
    assert contrast([nothing] * 4, [nothing] * 4).features == ()
