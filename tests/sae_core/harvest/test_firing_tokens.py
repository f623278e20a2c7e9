"""What a feature fires on, against counting every firing by itself."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sae_core.harvest.firing_tokens import N_FIRING_TOKENS, FiringTokens
from sae_core.harvest.records import Ranking
from sae_core.text.tokenized import TokenizedCorpus, Windows

D_VOCAB = 40


def _windows(bos: int | None, seed: int = 0, n_ctx: int = 8) -> Windows:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, 12)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    corpus = TokenizedCorpus(
        name="text",
        source="drawn",
        fingerprint="f",
        tokens=np.minimum(rng.zipf(1.4, offsets[-1]), D_VOCAB - 1).astype(np.uint16),
        offsets=offsets,
        names=tuple(str(n) for n in range(12)),
        held_out=np.zeros(12, dtype=bool),
    )
    return Windows(corpus, n_ctx, bos)


def _special() -> np.ndarray:
    special = np.zeros(D_VOCAB, dtype=bool)
    special[[0, 2]] = True
    return special


def _brute(counts: Counter[int], firings: int) -> list[tuple[int, float]]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:N_FIRING_TOKENS]
    return [(token, float(np.float32(n / firings))) for token, n in ranked]


def _pairs(ranking: Ranking) -> list[tuple[int, float]]:
    return list(zip(ranking.ids.tolist(), ranking.weights.tolist(), strict=True))


@pytest.mark.parametrize("bos", [None, 0])
@pytest.mark.parametrize("share", [0.004, 0.1, 0.6])
def test_rankings_equal_counting_every_firing(bos: int | None, share: float) -> None:
    windows = _windows(bos)
    harvested = np.random.default_rng(1).permutation(len(windows)).astype(np.int64)
    tokens, mask = windows.gather(harvested)
    text = mask & ~_special()[tokens]
    rng = np.random.default_rng(2)
    fires = text & (rng.random(text.shape) < share)
    fires.ravel()[np.flatnonzero(text)[0]] = True
    slots = np.flatnonzero(fires)

    on: Counter[int] = Counter()
    after: Counter[int] = Counter()
    for row, position in zip(*fires.nonzero(), strict=True):
        on[int(tokens[row, position])] += 1
        if position and mask[row, position - 1] and not _special()[tokens[row, position - 1]]:
            after[int(tokens[row, position - 1])] += 1

    counted = FiringTokens(windows, harvested, _special())
    fires_on, fires_after = counted.rankings(slots)
    assert _pairs(fires_on) == _brute(on, len(slots))
    assert _pairs(fires_after) == _brute(after, len(slots))
    assert not np.isin([0, 2], [*fires_on.ids, *fires_after.ids]).any()
    assert fires_on.weights.sum() <= 1 + 1e-6


def test_few_and_many_firings_are_counted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = _windows(None)
    harvested = np.arange(len(windows), dtype=np.int64)
    _, mask = windows.gather(harvested)
    slots = np.flatnonzero(mask)[::3]
    counted = FiringTokens(windows, harvested, np.zeros(D_VOCAB, dtype=bool))
    dense = [_pairs(ranking) for ranking in counted.rankings(slots)]
    monkeypatch.setattr("sae_core.harvest.firing_tokens._COUNTS_A_FIRING", 0)
    assert [_pairs(ranking) for ranking in counted.rankings(slots)] == dense


def test_a_dead_feature_fires_on_nothing() -> None:
    windows = _windows(0)
    counted = FiringTokens(windows, np.arange(len(windows), dtype=np.int64), _special())
    for ranking in counted.rankings(np.zeros(0, dtype=np.int64)):
        assert len(ranking.ids) == len(ranking.weights) == 0
