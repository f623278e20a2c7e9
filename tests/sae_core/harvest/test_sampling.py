"""Examples, bands and histograms against a pass that keeps everything and thinks nothing."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.files.hashing import mix
from sae_core.harvest.firing_log import FeatureFirings
from sae_core.harvest.records import ExampleGroup, GroupKind
from sae_core.harvest.sampling import WindowTable, activation_histogram, sample_groups

N_CTX = 16


def _case(
    seed: int, n_windows: int, n_documents: int, density: float, levels: int | None = None
) -> tuple[FeatureFirings, WindowTable]:
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(5 * n_windows)[:n_windows].astype(np.int64)
    slots = np.flatnonzero(rng.random(n_windows * N_CTX) < density).astype(np.int64)
    values = rng.gamma(1.2, 1.0, len(slots)).astype(np.float32) + np.float32(1e-4)
    if levels:
        values = np.ceil(values * levels / values.max()).astype(np.float32)
    documents = rng.integers(0, n_documents, n_windows)
    return FeatureFirings(slots, values), WindowTable(numbers, documents, N_CTX, seed)


def _naive(
    feature: int, firings: FeatureFirings, table: WindowTable, order: list[int], n: int
) -> list[tuple[int, int]]:
    """(window, position) of the first n firings in `order` that come from new documents."""
    seen: set[int] = set()
    chosen = []
    for i in order:
        ordinal, position = divmod(int(firings.slots[i]), table.n_ctx)
        document = int(table.documents[ordinal])
        if document not in seen and len(chosen) < n:
            seen.add(document)
            chosen.append((int(table.numbers[ordinal]), position))
    return chosen


def _drawn(group: ExampleGroup) -> list[tuple[int, int]]:
    examples = group.examples
    return [(int(w), int(p)) for w, p in zip(examples.windows, examples.peaks, strict=True)]


@pytest.mark.parametrize(
    ("seed", "n_windows", "n_documents", "density", "levels"),
    [
        (0, 400, 60, 0.05, None),
        (1, 400, 3, 0.3, None),  # fewer documents than examples
        (2, 30, 30, 0.01, None),  # a handful of firings
        (3, 300, 80, 0.2, 22),  # activations that lie on band edges, many equal
        (4, 2000, 1, 0.5, None),  # a single document
    ],
)
def test_groups_equal_a_naive_pass(
    seed: int, n_windows: int, n_documents: int, density: float, levels: int | None
) -> None:
    firings, table = _case(seed, n_windows, n_documents, density, levels)
    groups = sample_groups(7, firings, table)
    ordinal, position = np.divmod(firings.slots, N_CTX)
    draw = mix(seed, 7, table.numbers[ordinal], position)
    everything = range(len(firings.slots))
    maximum = float(firings.values.max())

    top, *bands, weakest = groups
    rank = {i: (-float(firings.values[i]), int(draw[i]) >> 32) for i in everything}
    assert top.kind is GroupKind.TOP
    expected = _naive(7, firings, table, sorted(everything, key=lambda i: rank[i]), 20)
    assert _drawn(top) == expected
    rank = {i: (float(firings.values[i]), int(draw[i]) >> 32) for i in everything}
    expected = _naive(7, firings, table, sorted(everything, key=lambda i: rank[i]), 20)
    assert weakest.kind is GroupKind.WEAKEST
    assert _drawn(weakest) == expected

    assert [band.number for band in bands] == list(range(10, -1, -1))
    assert sum(band.firings for band in bands) == len(firings.slots)
    for band in bands:
        low, high = band.number * (maximum / 11), (band.number + 1) * (maximum / 11)
        if band.number == 10:
            high = maximum
        inside = [i for i in everything if low < float(firings.values[i]) <= high]
        assert band.firings == len(inside)
        assert (band.low, band.high) == pytest.approx((low, high))
        expected = _naive(7, firings, table, sorted(inside, key=lambda i: int(draw[i])), 5)
        assert _drawn(band) == expected


def test_examples_hold_every_firing_of_their_window() -> None:
    firings, table = _case(5, 200, 40, 0.2)
    for group in sample_groups(0, firings, table):
        examples = group.examples
        for i in range(len(examples)):
            cut = slice(examples.bounds[i], examples.bounds[i + 1])
            ordinal = int(np.flatnonzero(table.numbers == examples.windows[i])[0])
            inside = firings.slots // N_CTX == ordinal
            assert examples.positions[cut].tolist() == (firings.slots[inside] % N_CTX).tolist()
            assert examples.values[cut].tolist() == firings.values[inside].tolist()
            assert examples.peaks[i] in examples.positions[cut]


def test_a_band_is_drawn_uniformly() -> None:
    # 40 firings in one band, each from a document of its own: over many seeds each is drawn alike.
    slots = np.arange(40, dtype=np.int64) * N_CTX
    firings = FeatureFirings(slots, np.full(40, 2.0, dtype=np.float32))
    counts = np.zeros(40)
    for seed in range(500):
        numbers = np.arange(40, dtype=np.int64)
        table = WindowTable(numbers, numbers, N_CTX, seed)
        counts[sample_groups(3, firings, table)[1].examples.windows] += 1
    # Each is drawn 62.5 times in the mean, with a standard deviation of 7.4.
    assert counts.sum() == 500 * 5
    assert np.abs(counts - 62.5).max() < 5 * 7.4


def test_a_dead_feature_has_no_groups() -> None:
    nothing = FeatureFirings(np.zeros(0, np.int64), np.zeros(0, np.float32))
    table = WindowTable(np.arange(3), np.arange(3), N_CTX, 0)
    assert sample_groups(0, nothing, table) == ()


def test_histogram_counts_every_firing_in_its_bucket() -> None:
    values = np.random.default_rng(0).exponential(1.0, 5000).astype(np.float32) + np.float32(1e-6)
    maximum = float(values.max())
    histogram = activation_histogram(values, maximum)
    naive = [0] * 40
    for value in values.astype(np.float64):
        bucket = next(b for b in range(40) if b == 39 or value <= (b + 1) * (maximum / 40))
        naive[bucket] += 1
    assert histogram.counts.tolist() == naive
    assert (histogram.low, histogram.high) == (0.0, maximum)
