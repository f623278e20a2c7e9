"""Which of a feature's firings become examples.

The sample, exactly: *top* and *weakest* are the documents' largest and smallest activations, the
20 largest and the 20 smallest of them. The eleven *bands* divide (0, maximum] into equal widths;
band b holds the firings with `b * maximum / 11 < a <= (b + 1) * maximum / 11`, and its five
examples are drawn by taking its firings in uniformly random order and skipping those from a
document already drawn. The order is a hash of seed, feature, window and position, so the same seed
draws the same examples whatever the harvest was split into.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.files.hashing import mix
from sae_core.harvest.firing_log import FeatureFirings
from sae_core.harvest.records import (
    N_BANDS,
    N_HISTOGRAM,
    ExampleGroup,
    Examples,
    GroupKind,
    Histogram,
)

N_TOP = 20
N_WEAKEST = 20
PER_BAND = 5


@dataclass(frozen=True)
class WindowTable:
    """What sampling must know of the harvested windows, in the order of the log.

    Attributes:
        numbers: each window's number in the corpus, int64 [n].
        documents: number of the document that each window lies in, int64 [n].
        n_ctx: positions in a window.
        seed: what the random order of firings is made from.
    """

    numbers: NDArray[np.int64]
    documents: NDArray[np.int64]
    n_ctx: int
    seed: int


def band_edges(maximum: float) -> NDArray[np.float64]:
    """The twelve edges of the eleven bands, from 0 to the maximum."""
    return np.arange(N_BANDS + 1, dtype=np.float64) * np.float64(maximum / N_BANDS)


def activation_histogram(values: NDArray[np.float32], maximum: float) -> Histogram:
    """Forty equal buckets over (0, maximum], each without its lower and with its upper edge."""
    edges = np.arange(1, N_HISTOGRAM) * (maximum / N_HISTOGRAM)
    bucket = np.searchsorted(edges, values.astype(np.float64), side="left")
    counts = np.bincount(bucket, minlength=N_HISTOGRAM).astype(np.int64)
    return Histogram(0.0, maximum, counts)


def sample_groups(
    feature: int, firings: FeatureFirings, table: WindowTable
) -> tuple[ExampleGroup, ...]:
    """Top, bands 10 to 0 and weakest of one feature; nothing for a dead one."""
    slots, values = firings.slots, firings.values
    if not len(values):
        return ()
    # Where each firing stands, and its place in the seeded random order.
    documents = table.documents[slots // table.n_ctx]
    windows = table.numbers[slots // table.n_ctx]
    draw = mix(table.seed, feature, windows, slots % table.n_ctx)
    bits = values.view(np.uint32).astype(np.uint64)
    # Positive floats order like their bits; the hash decides between equal activations.
    tie = draw >> np.uint64(32)
    rising = (bits << np.uint64(32)) | tie
    falling = ((np.uint64(0xFFFFFFFF) - bits) << np.uint64(32)) | tie
    # The band of each firing: between its lower edge, excluded, and its upper edge, included.
    maximum = float(values.max())
    edges = band_edges(maximum)
    band = np.searchsorted(edges[1:-1], values.astype(np.float64), side="left")
    sizes = np.bincount(band, minlength=N_BANDS)

    def group(
        kind: GroupKind, number: int, low: float, high: float, count: int, at: NDArray[np.int64]
    ) -> ExampleGroup:
        return ExampleGroup(kind, number, low, high, count, _examples(at, firings, table))

    def extremes(kind: GroupKind, keys: NDArray[np.uint64], n: int) -> ExampleGroup:
        at = _first_of_documents(keys, documents, n)
        low, high = float(values[at].min()), float(values[at].max())
        inside = int(np.count_nonzero((values >= low) & (values <= high)))
        return group(kind, -1, low, high, inside, at)

    bands = []
    for number in reversed(range(N_BANDS)):
        members = np.flatnonzero(band == number)
        chosen = members[_first_of_documents(draw[members], documents[members], PER_BAND)]
        low, high = float(edges[number]), float(edges[number + 1])
        bands.append(group(GroupKind.BAND, number, low, high, int(sizes[number]), chosen))
    return (
        extremes(GroupKind.TOP, falling, N_TOP),
        *bands,
        extremes(GroupKind.WEAKEST, rising, N_WEAKEST),
    )


def _first_of_documents(
    keys: NDArray[np.uint64], documents: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    """Indices of the n lowest keys, at most one of a document, in the keys' order."""
    # Looks at few of the lowest keys first, at more where they come from too few documents.
    reach = 4 * n
    while True:
        if reach < len(keys):
            near = np.argpartition(keys, reach)[:reach]
            near = near[np.argsort(keys[near])]
        else:
            near = np.argsort(keys)
        _, first = np.unique(documents[near], return_index=True)
        if len(first) >= n or reach >= len(keys):
            return near[np.sort(first)[:n]]
        reach *= 8


def _examples(at: NDArray[np.int64], firings: FeatureFirings, table: WindowTable) -> Examples:
    """The whole windows around the firings `at`, with all of the feature's firings in each."""
    # Slots are ascending, so the firings of one window lie together.
    ordinal = firings.slots[at] // table.n_ctx
    begin = np.searchsorted(firings.slots, ordinal * table.n_ctx)
    end = np.searchsorted(firings.slots, (ordinal + 1) * table.n_ctx)
    lengths = end - begin
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.repeat(begin - bounds[:-1], lengths) + np.arange(bounds[-1])
    return Examples(
        windows=table.numbers[ordinal],
        peaks=(firings.slots[at] % table.n_ctx).astype(np.uint16),
        bounds=bounds,
        positions=(firings.slots[index] % table.n_ctx).astype(np.uint16),
        values=firings.values[index],
    )
