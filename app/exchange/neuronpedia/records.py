"""From features as a source has them to records of the store, with what the source leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from app.exchange.neuronpedia.fields import TOP, ForeignContext, ForeignFeature
from sae_core.harvest.records import (
    ExampleGroup,
    Examples,
    FeatureRecord,
    GroupKind,
    Histogram,
    Ranking,
)

_NONE = Ranking(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32))
_NO_BARS = Histogram(0.0, 0.0, np.zeros(0, np.int64))
_MOST_BANDS = 1000
MOST_TOKENS = 1 << 50  # a larger number is none that somebody counted
_SHARE_ERROR = 6e-6  # densities are read back from a title with three decimals of a percent


class TokenCount:
    """How many tokens stand behind the densities, from what the features say of it.

    The histogram counts every firing, the density is its share of all tokens; so the stated number
    of tokens can be checked, and where none is stated, or one that contradicts them, it follows
    from the feature that fires most, whose rounding matters least.
    """

    def __init__(self) -> None:
        self._stated: set[int] = set()
        self._known = 0
        self._firings, self._density = 0, 0.0

    def add(self, feature: ForeignFeature) -> None:
        """Take a feature into account."""
        self._stated.add(feature.n_tokens)
        counted = int(feature.activations.counts.sum())
        if counted > self._firings and feature.density:
            self._firings, self._density = counted, feature.density

    def state(self, n_tokens: int) -> None:
        """Take a number into account that the source states as a whole."""
        self._stated.add(n_tokens)

    def know(self, n_tokens: int) -> None:
        """Take the number of tokens that were counted, in place of prompts times their length."""
        self._known = n_tokens

    @property
    def stated(self) -> int:
        """The number that the source gives, if it is one and fits; else 0."""
        given = {self._known} if self._known else self._stated - {0}
        if len(given) != 1 or not 0 < (n_tokens := given.pop()) < MOST_TOKENS:
            return 0
        if not self._firings:
            return n_tokens
        error = abs(self._firings / n_tokens - self._density)
        return n_tokens if error <= _SHARE_ERROR + 1e-3 * self._density else 0

    @property
    def n_tokens(self) -> int:
        """The best that is known; 0: nothing."""
        if self.stated or not self._firings:
            return self.stated
        return round(min(MOST_TOKENS, self._firings / self._density))


def record(feature: ForeignFeature, n_tokens: int) -> FeatureRecord:
    """The feature as the store keeps it; `n_tokens` as of `TokenCount`."""
    counted = int(feature.activations.counts.sum())
    if not counted and feature.density:
        counted = round(feature.density * n_tokens)
    if not counted and feature.contexts:
        counted = _shown(feature.contexts)
    alive = counted > 0
    return FeatureRecord(
        index=feature.index,
        firings=counted,
        maximum=feature.maximum if alive else 0.0,
        activations=feature.activations if alive else _NO_BARS,
        logits=feature.logits,
        raised=feature.raised,
        lowered=feature.lowered,
        neurons=feature.neurons,
        nearest=feature.nearest,
        coactive=_NONE,
        groups=_groups(feature.contexts, counted, n_tokens) if alive else (),
    )


def missing(index: int) -> FeatureRecord:
    """A feature that the source does not hold."""
    return FeatureRecord(index, 0, 0.0, _NO_BARS, _NO_BARS, _NONE, _NONE, _NONE, _NONE, _NONE, ())


def _shown(contexts: Iterable[ForeignContext]) -> int:
    """Firings in the contexts, each context once."""
    return sum(
        len(values) for values in {context.window: context.values for context in contexts}.values()
    )


def _groups(
    contexts: tuple[ForeignContext, ...], firings: int, n_tokens: int
) -> tuple[ExampleGroup, ...]:
    """The strongest, then the intervals from the highest on."""
    groups = []
    top = [context for context in contexts if context.low == TOP]
    if top:
        peaks = [_at_peak(context) for context in top]
        groups.append(
            ExampleGroup(GroupKind.TOP, -1, min(peaks), max(peaks), len(top), _examples(top))
        )
    return (
        *groups,
        *_bands([context for context in contexts if context.low != TOP], firings, n_tokens),
    )


def _bands(contexts: list[ForeignContext], firings: int, n_tokens: int) -> tuple[ExampleGroup, ...]:
    """The intervals, those of equal width without a context in between included."""
    held: dict[tuple[float, float], list[ForeignContext]] = {}
    for context in contexts:
        held.setdefault((context.low, context.high), []).append(context)
    numbers = _numbers(sorted(held))
    counts = {
        edge: min(firings, max(0, round(own[0].share * n_tokens))) for edge, own in held.items()
    }
    for number, edge in _between(numbers):
        numbers[edge], counts[edge] = number, 0
    above = sum(count for (low, _), count in counts.items() if low > 0.0)
    return tuple(
        ExampleGroup(
            GroupKind.BAND,
            numbers[low, high],
            low,
            high,
            # the source counts all zeros into its lowest interval
            counts[low, high] if low > 0.0 else max(0, firings - above),
            _examples(held.get((low, high), [])),
        )
        for low, high in sorted(numbers, reverse=True)
    )


def _between(numbers: dict[tuple[float, float], int]) -> list[tuple[int, tuple[float, float]]]:
    """Intervals below the highest one that have a number and no context."""
    if not numbers:
        return []
    (low, high), top = max(numbers.items(), key=lambda item: item[1])
    width = (high - low) if top else 0.0
    missing = sorted(set(range(top)) - set(numbers.values()))
    return [(n, (n * width, (n + 1) * width)) for n in missing]


def _at_peak(context: ForeignContext) -> float:
    at = int(np.searchsorted(context.positions, context.peak))
    has_peak = at < len(context.positions) and context.positions[at] == context.peak
    return float(context.values[at] if has_peak else context.values.max())


def _numbers(edges: list[tuple[float, float]]) -> dict[tuple[float, float], int]:
    """Each interval's number, from 0 for the lowest: its place among intervals of equal width,
    those without a context counted, or where widths differ its place among those there are."""
    if edges:
        width = edges[-1][1] - edges[-1][0]
        inside = width > 0 and all(0 <= low < _MOST_BANDS * width for low, _ in edges)
        places = [round(low / width) if inside else -1 for low, _ in edges]
        even = all(
            abs(low - place * width) <= 0.05 * width and abs(high - low - width) <= 0.05 * width
            for (low, high), place in zip(edges, places, strict=True)
        )
        if (
            even
            and places[0] >= 0
            and all(a < b for a, b in pairwise(places))
            and places[-1] < _MOST_BANDS
        ):
            return dict(zip(edges, places, strict=True))
    return {edge: i for i, edge in enumerate(edges)}


def _examples(contexts: list[ForeignContext]) -> Examples:
    counts = [len(context.values) for context in contexts]
    return Examples(
        windows=np.array([context.window for context in contexts], dtype=np.int64),
        peaks=np.array([context.peak for context in contexts], dtype=np.uint16),
        bounds=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        positions=np.concatenate(
            [np.zeros(0, np.uint16), *(context.positions for context in contexts)]
        ),
        values=np.concatenate([np.zeros(0, np.float32), *(context.values for context in contexts)]),
    )
