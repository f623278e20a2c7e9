"""The null: shuffled features, and p-values that are right for them."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.rules.learner import RuleLearner
from sae_core.rules.null import NEAREST, POOL, NullPool, pool_features, shuffled
from sae_core.rules.record import ABOVE
from tests.sae_core.rules import texts

TEXT = texts.random_text(31, 40)


def test_a_shuffled_feature_fires_as_often_in_each_half() -> None:
    random = np.random.default_rng(0)
    places = np.sort(random.choice(len(TEXT.attributes), 500, replace=False))
    moved = shuffled(TEXT, places, (1, 2))
    begin = TEXT.held_out.begin
    assert len(np.unique(moved)) == len(places)
    assert (moved < begin).sum() == (places < begin).sum()
    assert moved.tolist() == shuffled(TEXT, places, (1, 2)).tolist()
    assert moved.tolist() != shuffled(TEXT, places, (1, 3)).tolist()
    # As long in a row, but where the end meets the beginning.
    assert abs(int((np.diff(moved) == 1).sum()) - int((np.diff(places) == 1).sum())) <= 2


def test_the_pool_is_taken_evenly_from_features_that_fire_often_enough() -> None:
    firings = np.array([0, 5, 100, 20, 7, 3000])
    pool = pool_features(firings, 7)
    assert len(pool) == POOL
    assert sorted(set(pool.tolist())) == [2, 3, 4, 5]
    assert np.bincount(pool)[[2, 3, 4, 5]].tolist() == [POOL // 4] * 4
    assert (np.diff(firings[pool]) >= 0).all()
    assert len(pool_features(np.zeros(4, np.int64), 7)) == 0


def test_a_p_value_counts_the_nearest() -> None:
    firings = np.array([10] * NEAREST + [100_000] * NEAREST)
    scores = np.concatenate([np.arange(NEAREST) / 1000, np.full(NEAREST, 0.9)])
    pool = NullPool(firings, scores)
    null = pool.compare(12, 0.0975)
    assert null.count == NEAREST
    assert null.p_value == pytest.approx(2 / 100)
    assert null.above
    assert null.threshold == pytest.approx(0.097)
    assert null.median == pytest.approx(0.049)
    assert not pool.compare(12, 0.097).above
    assert pool.compare(12, 0.0971).above
    assert not pool.compare(99_000, 0.5).above


def test_with_too_few_comparisons_nothing_is_above_its_null() -> None:
    pool = NullPool(np.full(5, 10), np.zeros(5))
    assert pool.compare(10, 1.0).threshold is None
    assert not pool.compare(10, 1.0).above
    nothing = NullPool(np.zeros(0, np.int64), np.zeros(0))
    assert nothing.compare(10, 1.0).p_value == 1.0


def test_a_share_of_shuffled_features_is_above_its_null_that_is_as_small_as_it_says() -> None:
    random = np.random.default_rng(7)
    pool = NullPool(np.full(POOL, 50), random.random(POOL))
    above = [pool.compare(50, f1).above for f1 in random.random(4000)]
    assert np.mean(above) <= ABOVE + 0.02


def test_shuffled_firings_of_a_clear_rule_have_none() -> None:
    learner = RuleLearner(TEXT)
    places = np.flatnonzero(TEXT.attributes.neighbours[0] == 2)
    moved = shuffled(TEXT, places, (3,))
    learnt = learner.learn(moved[moved < TEXT.learnt.end])
    holds = np.flatnonzero(learnt.holds(TEXT.attributes))
    holds = holds[holds >= TEXT.held_out.begin]
    hits = len(np.intersect1d(holds, moved))
    fired = int((moved >= TEXT.held_out.begin).sum())
    assert 2 * hits / (len(holds) + fired) < 0.5
