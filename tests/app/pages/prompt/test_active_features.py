"""Active features, their orders and differences, each against a plain loop."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from app.pages.prompt.active_features import ActiveFeatures, active_features, effects_column
from app.pages.prompt.differences import SAME, compare
from app.pages.prompt.query import FeatureName
from app.store.types.catalogue import FeatureScales
from app.worker.client.readings import PromptFirings

N_POSITIONS, D_SAE = 40, 25
NAMES = ("mlp", "neurons")


def firings(seed: int, n: int = 300) -> PromptFirings:
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(N_POSITIONS * D_SAE, n, replace=False))
    values = rng.choice([0.5, 1.0, 1.5, 2.0], n).astype(np.float32)  # with ties
    return PromptFirings(
        (places // D_SAE).astype(np.int32), (places % D_SAE).astype(np.int32), values
    )


def scales(seed: int) -> FeatureScales:
    rng = np.random.default_rng(seed)
    fired = rng.integers(0, 4000, D_SAE)
    fired[[3, 8]] = 0
    maxima = np.where(fired, rng.gamma(2.0, 1.0, D_SAE) + 0.25, 0.0)
    return FeatureScales(maxima, fired.astype(np.int64), 100_000)


def some(seed: int, token: int | None = None) -> ActiveFeatures:
    parts = [firings(seed), firings(seed + 1)]
    return active_features(NAMES, parts, [scales(7), scales(8)], token)


@dataclass
class Plain:
    """One feature by a plain loop."""

    maximum: float
    total: float
    peak: int
    density: float
    share: float
    rarity: float


def plainly(seed: int, token: int | None) -> dict[FeatureName, Plain]:
    found: dict[FeatureName, Plain] = {}
    for name, fired, scale in zip(
        NAMES, [firings(seed), firings(seed + 1)], [scales(7), scales(8)], strict=True
    ):
        rows = list(zip(fired.positions, fired.features, fired.values, strict=True))
        for feature in range(D_SAE):
            everywhere = [(float(v), int(p)) for p, f, v in rows if f == feature]
            here = [(v, p) for v, p in everywhere if token is None or p == token]
            if not here:
                continue
            maximum = max(v for v, _ in here)
            ever = float(scale.maxima[feature]) or max(v for v, _ in everywhere)
            count = int(scale.firings[feature])
            share = maximum / ever
            found[FeatureName(name, feature)] = Plain(
                maximum,
                math.fsum(v for v, _ in here),
                min(p for v, p in here if v == maximum),
                count / scale.n_tokens,
                share,
                share * -math.log10((count or 0.5) / scale.n_tokens),
            )
    return found


@pytest.mark.parametrize("token", [None, 0, 7, 39, 1000])
@pytest.mark.parametrize("seed", [1, 5])
def test_every_column_is_that_of_a_plain_loop(seed: int, token: int | None) -> None:
    active, expected = some(seed, token), plainly(seed, token)
    assert {active.name(row) for row in range(len(active))} == set(expected)
    for name, plain in expected.items():
        row = active.row(name)
        assert row is not None
        for column, value in vars(plain).items():
            assert getattr(active, column)[row] == pytest.approx(value, rel=1e-12), column


def test_a_feature_that_never_fired_counts_half_a_firing() -> None:
    scale = FeatureScales(np.zeros(2), np.zeros(2, np.int64), 1000)
    fired = PromptFirings(
        np.array([1, 2], np.int32), np.array([1, 1], np.int32), np.array([2.0, 0.5], np.float32)
    )
    whole = active_features(["m"], [fired], [scale])
    assert (whole.share[0], whole.density[0]) == (1.0, 0.0)
    assert whole.rarity[0] == pytest.approx(-math.log10(0.5 / 1000))
    there = active_features(["m"], [fired], [scale], token=2)
    assert there.share[0] == 0.25


def test_where_a_feature_fires_is_said_of_the_whole_prompt() -> None:
    whole, there = some(1), some(1, 7)
    name = there.name(0)
    row = whole.row(name)
    assert row is not None
    for one, two in zip(there.where(0), whole.where(row), strict=True):
        assert np.array_equal(one, two)
    assert 7 in there.where(0)[0]


def test_no_firing_at_all() -> None:
    none = PromptFirings(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
    empty = active_features(["m"], [none], [scales(1)])
    assert len(empty) == 0
    assert empty.ordered(empty.maximum).tolist() == []
    assert empty.row(FeatureName("m", 0)) is None
    assert empty.row(FeatureName("n", 0)) is None


def test_orders_break_ties_by_dictionary_and_index_and_put_the_unknown_last() -> None:
    active = some(1)
    rows = active.ordered(active.maximum).tolist()
    keys = [(-active.maximum[r], active.dictionary[r], active.feature[r]) for r in rows]
    assert keys == sorted(keys)
    effects = effects_column(active, {active.name(4): 0.5, active.name(9): 2.0})
    assert np.isfinite(effects).sum() == 2
    ordered = active.ordered(effects).tolist()
    assert ordered[:2] == [9, 4]
    assert ordered[2:4] == [0, 1]


def test_two_prompts_differ_as_a_plain_loop_says() -> None:
    first, second = some(1), some(5)
    one, two = plainly(1, None), plainly(5, None)
    found = compare(NAMES, first.shares, second.shares)
    said = {d.feature: (kind, d.change) for kind, all_ in found.items() for d in all_}
    for name in one.keys() | two.keys():
        change = (two[name].share if name in two else 0) - (one[name].share if name in one else 0)
        if name not in one:
            kind = "gained"
        elif name not in two:
            kind = "lost"
        elif abs(change) < SAME:
            assert name not in said
            continue
        else:
            kind = "stronger" if change > 0 else "weaker"
        assert said[name] == (kind, pytest.approx(change))
    assert len(said) <= len(one.keys() | two.keys())
    for differences in found.values():
        sizes = [abs(d.change) for d in differences]
        assert sizes == sorted(sizes, reverse=True)
        for d in differences:
            assert (d.kind == "gained") == (first.row(d.feature) is None)
            assert (d.kind == "lost") == (second.row(d.feature) is None)


def test_a_prompt_does_not_differ_from_itself() -> None:
    assert not any(compare(NAMES, some(1).shares, some(1).shares).values())


def test_a_feature_of_an_empty_prompt_is_gained() -> None:
    none = PromptFirings(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
    empty = active_features(NAMES, [none, none], [scales(7), scales(8)])
    found = compare(NAMES, empty.shares, some(1).shares)
    assert len(found["gained"]) == len(some(1))
    assert not found["lost"]
    assert len(compare(NAMES, some(1).shares, empty.shares)["lost"]) == len(some(1))
