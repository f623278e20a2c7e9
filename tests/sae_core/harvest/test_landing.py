"""Where effects land, by hand and against the plainest loop."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from sae_core.harvest.landing import landing
from sae_core.harvest.records import (
    ContextEffect,
    ExampleGroup,
    Examples,
    GroupKind,
    WindowRecord,
)

SPECIAL = np.arange(30) == 0


def _group(kind: GroupKind, windows: list[int]) -> ExampleGroup:
    n = len(windows)
    examples = Examples(
        windows=np.array(windows, dtype=np.int64),
        peaks=np.zeros(n, dtype=np.uint16),
        bounds=np.arange(n + 1, dtype=np.int64),
        positions=np.zeros(n, dtype=np.uint16),
        values=np.ones(n, dtype=np.float32),
    )
    return ExampleGroup(kind, -1, 0.0, 1.0, n, examples)


def _effect(changes: dict[int, float]) -> ContextEffect:
    n = len(changes)
    return ContextEffect(
        positions=np.array(list(changes), dtype=np.uint16),
        loss_change=np.array(list(changes.values()), dtype=np.float32),
        raised_ids=np.zeros((n, 5), np.int32),
        raised=np.zeros((n, 5), np.float32),
        lowered_ids=np.zeros((n, 5), np.int32),
        lowered=np.zeros((n, 5), np.float32),
    )


def _window(number: int, tokens: list[int]) -> WindowRecord:
    return WindowRecord(number, "text", 1, np.array(tokens, dtype=np.int64))


def test_the_best_token_of_each_top_context_counts() -> None:
    groups = (_group(GroupKind.TOP, [1, 2, 3, 4]), _group(GroupKind.WEAKEST, [5]))
    windows = {
        1: _window(1, [0, 7, 8, 7]),
        2: _window(2, [0, 7, 9]),
        3: _window(3, [0, 8, 8]),
        4: _window(4, [0, 7]),
        5: _window(5, [0, 9, 9]),
    }
    effects = {
        1: _effect({1: 0.5, 2: 0.25, 3: 0.5}),  # equal: the earlier one, token 7
        2: _effect({1: 0.25, 2: -1.0}),  # token 7
        3: _effect({0: 4.0, 1: 2.0}),  # the special token is left out: token 8
        4: _effect({1: -0.5}),  # nothing is helped
        5: _effect({1: 9.0}),  # not one of the top contexts
    }
    landed = landing(groups, windows, effects, SPECIAL)
    assert landed.contexts == 4
    assert landed.effect == (0.5 + 0.25 + 2.0 + 0.0) / 4
    assert landed.tokens.ids.tolist() == [8, 7]
    assert landed.tokens.weights.tolist() == [2.0, 0.375]
    assert landed.tokens.shares.tolist() == [0.25, 0.5]


def test_contexts_that_are_not_known_are_left_out() -> None:
    groups = (_group(GroupKind.TOP, [1, 2]),)
    windows = {1: _window(1, [0, 7]), 2: _window(2, [0, 7])}
    landed = landing(groups, windows, {2: _effect({1: 0.5})}, SPECIAL)
    assert (landed.effect, landed.contexts) == (0.5, 1)
    for groups_, effects in ((groups, {}), ((), {2: _effect({1: 0.5})})):
        none = landing(groups_, windows, effects, SPECIAL)
        assert (none.effect, none.contexts, len(none.tokens.ids)) == (None, 0, 0)


@pytest.mark.parametrize("seed", range(4))
def test_shares_times_means_add_up_to_the_mean_effect(seed: int) -> None:
    rng = np.random.default_rng(seed)
    numbers = list(range(20))
    windows = {n: _window(n, [0, *rng.integers(0, 30, 9).tolist()]) for n in numbers}
    effects = {
        n: _effect({int(p): float(rng.normal()) for p in np.sort(rng.permutation(10)[:4])})
        for n in numbers
    }
    landed = landing((_group(GroupKind.TOP, numbers),), windows, effects, SPECIAL)
    best: list[float] = []
    by_token: defaultdict[int, list[float]] = defaultdict(list)
    for n in numbers:
        gain, token = 0.0, -1
        for position, change in zip(
            effects[n].positions.tolist(), effects[n].loss_change.tolist(), strict=True
        ):
            here = int(windows[n].tokens[position])
            if not SPECIAL[here] and change > gain:
                gain, token = change, here
        best.append(gain)
        if gain:
            by_token[token].append(gain)
    assert landed.effect == pytest.approx(np.mean(best))
    assert set(landed.tokens.ids.tolist()) == by_token.keys()
    for token, weight, share in zip(
        landed.tokens.ids.tolist(), landed.tokens.weights, landed.tokens.shares, strict=True
    ):
        assert weight == pytest.approx(np.mean(by_token[token]), rel=1e-6)
        assert share == pytest.approx(len(by_token[token]) / 20)
    assert landed.tokens.weights @ landed.tokens.shares == pytest.approx(landed.effect, rel=1e-5)
