"""Two sets of texts contrasted: statistics by brute force, planted features, shuffled sets."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from sae_core.audit.contrast.probe import fit_probe
from sae_core.audit.contrast.ranks import area_interval, auroc, delong, screened
from sae_core.audit.contrast.sets import (
    PooledTexts,
    contrast_of,
    contrast_sets,
    half_of,
    held_out_texts,
    two_sided,
)
from sae_core.audit.contrast.written import WRITTEN, written_sets
from sae_core.errors import ContrastError

N, K, D = 120, 60, 8
PLANTED = 17


def texts(seed: int = 0, strength: float = 3.0, n: int = N) -> PooledTexts:
    """Sparse random features; one of them, and a direction, are larger on the first set."""
    draw = np.random.default_rng(seed)
    first = np.arange(n) < n // 2
    maxima = draw.gamma(1.0, size=(n, K)) * (draw.random((n, K)) < 0.4)
    maxima[:, PLANTED] += strength * first * (draw.random(n) < 0.9)
    means = maxima * draw.uniform(0.2, 0.4, size=(n, K))
    raw = draw.normal(size=(n, D))
    raw[:, 0] += strength * first
    return PooledTexts(np.arange(K) * 3, maxima, means, raw, first)


def test_areas_and_their_covariance_are_those_of_all_pairs() -> None:
    draw = np.random.default_rng(1)
    wanted = draw.random(25) < 0.5
    scores = draw.integers(0, 6, size=(25, 3)).astype(float)  # ties are many
    on, off = scores[wanted], scores[~wanted]
    wins = (on[:, None] > off[None]) + 0.5 * (on[:, None] == off[None])
    by_on, by_off = wins.mean(axis=1), wins.mean(axis=0)
    expected = np.cov(by_on, rowvar=False) / len(on) + np.cov(by_off, rowvar=False) / len(off)

    areas, spread = delong(scores, wanted)
    np.testing.assert_allclose(areas, wins.mean(axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(areas, auroc(scores, wanted), rtol=1e-12)
    np.testing.assert_allclose(spread, expected, rtol=1e-12)


def test_an_area_s_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    truth, held = 0.5 * (1 + math.erf(1 / 2)), 0  # normal scores one deviation apart
    wanted = np.arange(60) < 30
    for _ in range(400):
        scores = draw.normal(size=(60, 1)) + wanted[:, None]
        areas, spread = delong(scores, wanted)
        low, high = area_interval(float(areas[0]), float(spread[0, 0]), 30)
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.98


def test_where_all_pairs_are_in_order_the_interval_has_an_end() -> None:
    assert area_interval(1.0, 0.0, 20) == (pytest.approx(0.025 ** (1 / 20)), 1.0)
    assert area_interval(0.0, 0.0, 20)[1] == pytest.approx(1 - 0.025 ** (1 / 20))


def brute_two_sided(values: NDArray[np.float64], n_on: int) -> float:
    def wins(on: tuple[int, ...]) -> float:
        own = values[list(on)]
        rest = np.delete(values, list(on))
        return float(((own[:, None] > rest) + 0.5 * (own[:, None] == rest)).sum())

    every = np.array([wins(on) for on in combinations(range(len(values)), n_on)])
    seen = wins(tuple(range(n_on)))
    return float(min(1.0, 2 * min((every >= seen).mean(), (every <= seen).mean())))


def test_few_texts_are_tested_exactly() -> None:
    draw = np.random.default_rng(3)
    wanted = np.arange(10) < 4
    for _ in range(20):
        values = draw.integers(0, 4, size=10).astype(float) + 2 * wanted
        if screened(values[:, None], wanted)[0] < 0.2:
            expected = brute_two_sided(values, 4)
            assert two_sided(values[:, None], wanted)[0] == pytest.approx(expected, rel=1e-9)


def test_a_planted_feature_is_first_and_holds_on_texts_that_did_not_choose_it() -> None:
    result = contrast_sets(texts())
    best = result.features[0]
    assert (best.feature, best.more) == (3 * PLANTED, True)
    assert best.q < 0.001
    assert 0.7 < best.low < best.held_out < best.high
    assert best.mean_first > best.mean_second + 1
    assert best.difference > 1
    assert result.halves == (60, 60)
    # Swapped labels are the same feature, the other way.
    swapped = contrast_sets(replace(texts(), first=~texts().first))
    assert (swapped.features[0].feature, swapped.features[0].more) == (3 * PLANTED, False)


def test_the_probe_stands_beside_the_best_feature() -> None:
    strong = contrast_sets(texts()).probe
    assert strong.area > 0.9
    assert strong.ahead_low < strong.ahead < strong.ahead_high
    useless = replace(texts(), raw=np.random.default_rng(5).normal(size=(N, D)))
    assert contrast_sets(useless).probe.ahead_high < 0


def test_a_probe_is_at_the_bottom_of_its_loss() -> None:
    made = texts(4, 0.5)
    probe = fit_probe(made.raw, made.first)
    scale = made.raw.std(axis=0)
    z = (made.raw - made.raw.mean(axis=0)) / scale
    weights, sign = probe.direction * scale, np.where(made.first, 1.0, -1.0)
    offset = probe.offset + made.raw.mean(axis=0) @ probe.direction
    slope = -sign / (1 + np.exp(sign * (z @ weights + offset)))
    np.testing.assert_allclose(z.T @ slope + probe.penalty * weights, 0, atol=1e-3)
    assert abs(slope.sum()) < 1e-3


def test_shuffled_sets_tell_nothing_more_often_than_was_allowed() -> None:
    made, draw, told = texts(6, 0.0, 60), np.random.default_rng(7), 0
    for _ in range(200):
        shuffled = replace(made, first=draw.permutation(made.first))
        told += bool((half_of(shuffled, np.ones(60, dtype=bool)).q <= 0.1).any())
    # Without any difference every discovery is false: at most a tenth, give or take 2.6 deviations.
    assert told / 200 <= 0.1 + 2.6 * math.sqrt(0.1 * 0.9 / 200)


def test_texts_that_are_all_alike_tell_nothing() -> None:
    made = texts()
    same = replace(made, maxima=np.ones((N, K)), means=np.ones((N, K)), raw=np.ones((N, D)))
    result = contrast_sets(same)
    assert result.told == 0
    assert all(row.held_out == 0.5 and row.q == 1 for row in result.features)
    silent = replace(made, maxima=np.zeros((N, K)), means=np.zeros((N, K)))
    result = contrast_sets(silent)
    assert (result.tested, result.features) == (0, ())
    assert math.isnan(result.probe.ahead)


def test_too_few_texts_are_refused() -> None:
    made = texts()
    with pytest.raises(ContrastError, match="at least 10 texts of each set"):
        contrast_sets(replace(made, first=np.arange(N) < 9))


def test_a_contrast_comes_back_from_json_and_a_damaged_one_does_not() -> None:
    made = contrast_sets(texts())
    value = json.loads(json.dumps(made.as_json(), allow_nan=False))
    assert contrast_of(value) == made
    silent = contrast_sets(replace(texts(), maxima=np.zeros((N, K)), means=np.zeros((N, K))))
    kept = json.loads(json.dumps(silent.as_json(), allow_nan=False))
    assert kept["probe"]["ahead"] is None
    assert math.isnan(contrast_of(kept).probe.ahead_high)
    probe = value["probe"]
    for wrong in (
        {},
        value | {"halves": [1]},
        value | {"features": [3]},
        value | {"features": [value["features"][0] | {"pooling": "sum"}]},
        value | {"features": [value["features"][0] | {"q": "nan"}]},
        value | {"probe": probe | {"ahead": None}},
        value | {"probe": None},
    ):
        with pytest.raises(ContrastError, match="damaged"):
            contrast_of(wrong)


def test_of_equal_areas_the_larger_difference_is_first() -> None:
    made = texts(strength=50.0)
    maxima = made.maxima.copy()
    maxima[:, 3] = np.where(made.first, 1.0, 0.0) + 0.1 * maxima[:, 4].clip(0, 1)
    maxima[:, PLANTED] = np.where(made.first, 1.0, 0.0) + 0.001 * maxima[:, 4].clip(0, 1)
    rows = contrast_sets(replace(made, maxima=maxima, means=maxima)).features
    assert [row.feature for row in rows[:2]] == [3 * PLANTED, 9]
    assert rows[0].area == rows[1].area == 1.0


def test_groups_are_halved_whole_and_the_same_in_both_sets() -> None:
    made = texts(n=120)
    groups = [f"form {number % 5}" for number in range(120)]
    held = held_out_texts(made.first, 3, groups)
    for group in set(groups):
        assert len({bool(held[n]) for n, own in enumerate(groups) if own == group}) == 1
    assert int(held.sum()) in (48, 72)
    found = contrast_sets(made, groups=groups)
    n_held = int(held_out_texts(made.first, 0, groups).sum())
    assert found.halves == (120 - n_held, n_held)
    assert contrast_sets(made, groups=[""] * 120) == contrast_sets(made)


def test_texts_without_a_group_stand_for_themselves() -> None:
    made = texts(n=120)
    held = held_out_texts(made.first, 0, ["a"] * 30 + [""] * 90)
    assert len(set(held[:30].tolist())) == 1
    assert int(held.sum()) == 60


def test_groups_that_cannot_be_halved_are_refused() -> None:
    made = texts(n=40)
    with pytest.raises(ContrastError, match="2 groups of texts cannot be halved"):
        contrast_sets(made, groups=["all"] * 39 + ["one"])
    with pytest.raises(ContrastError, match="texts of the first set"):
        contrast_sets(made, groups=["first"] * 20 + ["second"] * 20)


@pytest.mark.parametrize("name", WRITTEN)
def test_written_pairs_have_the_same_forms_and_no_text_twice(name: str) -> None:
    first, second = written_sets(name)
    assert first.forms == second.forms
    assert len(set(first.forms)) == 5
    assert len({*first.texts, *second.texts}) == len(first.texts) + len(second.texts) == 120
    assert not any("{" in text and "}" in text for text in (*first.texts, *second.texts))
