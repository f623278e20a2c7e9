"""How specific features are to places, against counting firing by firing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sae_core.evaluation.specificity import (
    LEAST_P,
    PhraseFirings,
    least_by_chance,
    most_specific,
)

N_TOKENS, D_SAE = 3000, 40


def drawn(seed: int) -> tuple[list[set[int]], list[tuple[int, int]]]:
    """What fires on each token, and places, some of which overlap; feature 7 fires on their last
    tokens mostly."""
    rng = np.random.default_rng(seed)
    fires = [set(rng.choice(30, rng.integers(0, 4)).tolist()) - {7} for _ in range(N_TOKENS)]
    starts = np.unique(rng.integers(0, N_TOKENS - 5, 50))
    places = [(int(s), int(s) + (2 if rng.random() < 0.8 else 1)) for s in starts]
    for _, last in places[:-5]:
        fires[last].add(7)
    fires[0].add(7)
    return fires, places


def as_read(fires: list[set[int]], places: list[tuple[int, int]]) -> PhraseFirings:
    tokens = sorted({t for first, last in places for t in range(first, last + 1)})
    ordered = [sorted(fires[token]) for token in tokens]
    first, last = np.array(places).T
    return PhraseFirings(
        first,
        last,
        first // 300,
        np.array(tokens),
        np.cumsum([0, *map(len, ordered)]),
        np.array([f for features in ordered for f in features]),
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_figures_are_those_of_a_count_by_hand(seed: int) -> None:
    fires, places = drawn(seed)
    read = as_read(fires, places)
    counts = np.bincount([f for features in fires for f in features], minlength=D_SAE)
    made = most_specific(read, counts, N_TOKENS, len(places), 3, D_SAE)
    assert made[0].feature == 7
    assert made[0].corrected < 1e-20
    alive = int((counts > 0).sum())
    for figures in made:
        f = figures.feature
        inside = sum(f in fires[token] for token in read.tokens)
        hit = [n for n, (a, b) in enumerate(places) if any(f in fires[t] for t in range(a, b + 1))]
        whole = [(a, b) for a, b in places if b - a == 2]
        assert (figures.inside, figures.firings) == (inside, counts[f])
        assert (figures.hits, figures.example) == (len(hit), hit[0])
        assert figures.precision == pytest.approx(inside / counts[f])
        assert figures.recall == pytest.approx(len(hit) / len(places))
        assert figures.documents == len({places[n][0] // 300 for n in hit})
        assert figures.recall_interval is not None
        low, high = figures.recall_interval
        assert low <= figures.recall <= high
        assert figures.lift == pytest.approx(inside / len(read.tokens) / (counts[f] / N_TOKENS))
        assert figures.places == pytest.approx(
            [sum(f in fires[a + n] for a, _ in whole) / len(whole) for n in range(3)]
        )
        p = stats.hypergeom.sf(inside - 1, N_TOKENS, counts[f], len(read.tokens))
        assert figures.p_value == pytest.approx(p, rel=1e-6)
        assert figures.corrected == min(1.0, figures.p_value * alive)
    assert [m.score for m in made] == sorted((m.score for m in made), reverse=True)


def test_features_that_fire_by_chance_are_seldom_found() -> None:
    wrong = 0
    for seed in range(10):
        fires, places = drawn(100 + seed)
        counts = np.bincount([f for features in fires for f in features], minlength=D_SAE)
        made = most_specific(as_read(fires, places), counts, N_TOKENS, len(places), 3, D_SAE)
        wrong += any(m.corrected <= 0.05 for m in made if m.feature != 7)
    assert (
        wrong <= 3
    )  # one of 20 is expected at most; more than three of ten are once in 1,000 times


def test_a_part_of_the_places_estimates_precision() -> None:
    fires, places = drawn(0)
    counts = np.bincount([f for features in fires for f in features], minlength=D_SAE)
    made = most_specific(as_read(fires, places[:20]), counts, N_TOKENS, len(places), 3, 1)
    assert made[0].feature == 7
    estimate = made[0].inside * len(places) / 20 / counts[7]
    assert made[0].inside >= 20
    assert made[0].precision == min(1.0, estimate)


def test_nothing_fires_there() -> None:
    read = as_read([set() for _ in range(10)], [(2, 3)])
    assert most_specific(read, np.zeros(5, np.int64), 10, 1, 2, 5) == ()


@pytest.mark.parametrize(
    "case", [(3, 10, 20, 1000), (20, 40, 60, 10**6), (1, 5, 5, 9), (0, 3, 4, 10), (5, 5, 5, 5)]
)
def test_the_tail_is_the_hypergeometric_one(case: tuple[int, int, int, int]) -> None:
    inside, firings, chosen, n = case
    assert least_by_chance(*case) == pytest.approx(
        stats.hypergeom.sf(inside - 1, n, firings, chosen)
    )
    assert least_by_chance(10**4, 10**4, 10**4, 10**7) == LEAST_P
