"""Records as blobs: a feature in two parts, a window's tokens, an effect, a vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.store.blobs.packing import Reader, Writer
from sae_core.harvest.records import (
    ContextEffect,
    ExampleGroup,
    Examples,
    FeatureRecord,
    GroupKind,
    Histogram,
    Landing,
    Ranking,
)
from sae_core.language_model.vocabulary import Vocabulary

_KINDS = (GroupKind.TOP, GroupKind.BAND, GroupKind.WEAKEST)
_BEST_REACH = 24  # tokens around the peak of the context that a table row shows
_HAS_TOKENS, _HAS_BEST = 1, 2


@dataclass(frozen=True)
class Summary:
    """What a table row shows of a feature.

    Attributes:
        activations: as in `FeatureRecord`; so the other rankings.
        best: the strongest context alone, with what fires close to its peak; None: the feature has
            none, or a version packed it that did not keep one here.
    """

    activations: Histogram
    raised: Ranking
    fires_on: Ranking | None
    fires_after: Ranking | None
    best: Examples | None


@dataclass(frozen=True)
class Body:
    """What only the feature's own page shows."""

    logits: Histogram
    lowered: Ranking
    neurons: Ranking
    nearest: Ranking
    coactive: Ranking
    groups: tuple[ExampleGroup, ...]


def pack_summary(feature: FeatureRecord) -> bytes:
    """The part that tables read too."""
    out = Writer()
    _write_histogram(out, feature.activations)
    _write_ranking(out, feature.raised)
    best = _best(feature.groups)
    known = [part for part in (feature.fires_on, feature.fires_after) if part is not None]
    if has := _HAS_TOKENS * bool(known) + _HAS_BEST * (best is not None):
        out.uint(has)
    for ranking in known:
        _write_ranking(out, ranking)
    if best is not None:
        out.uint(int(best.windows[0]))
        out.uint(int(best.peaks[0]))
        out.ints(_steps(best))
        out.floats(best.values)
    return out.blob(b"S")


def unpack_summary(blob: bytes, what: str) -> Summary:
    """See `pack_summary`; `what` names the feature if the blob is damaged."""
    data = Reader(blob, b"S", what)
    activations, raised = _read_histogram(data), _read_ranking(data)
    has = 0 if data.ended else data.uint()
    fires_on = _read_ranking(data) if has & _HAS_TOKENS else None
    fires_after = _read_ranking(data) if has & _HAS_TOKENS else None
    best = _read_best(data) if has & _HAS_BEST else None
    data.end()
    return Summary(activations, raised, fires_on, fires_after, best)


def pack_landing(landing: Landing) -> bytes:
    """The tokens that a feature's effect lands on; its figures have columns of their own."""
    out = Writer()
    _write_ranking(out, landing.tokens)
    return out.blob(b"L")


def unpack_landing(blob: bytes, what: str) -> Ranking:
    """See `pack_landing`."""
    data = Reader(blob, b"L", what)
    tokens = _read_ranking(data)
    data.end()
    return tokens


def pack_body(feature: FeatureRecord) -> bytes:
    """The part that only the feature's page reads."""
    out = Writer()
    _write_histogram(out, feature.logits)
    for ranking in (feature.lowered, feature.neurons, feature.nearest, feature.coactive):
        _write_ranking(out, ranking)
    _write_groups(out, feature.groups)
    return out.blob(b"F")


def unpack_body(blob: bytes, what: str) -> Body:
    """See `pack_body`."""
    data = Reader(blob, b"F", what)
    body = Body(
        _read_histogram(data),
        _read_ranking(data),
        _read_ranking(data),
        _read_ranking(data),
        _read_ranking(data),
        _read_groups(data),
    )
    data.end()
    return body


def pack_tokens(tokens: NDArray[np.int64]) -> bytes:
    """A window's token ids. A page unpacks a hundred of them, so they are not compressed."""
    out = Writer()
    out.ints(tokens)
    return out.blob(b"T", compress=False)


def unpack_tokens(blob: bytes, what: str) -> NDArray[np.int64]:
    """See `pack_tokens`."""
    data = Reader(blob, b"T", what)
    tokens = data.ints(np.int64)
    data.end()
    return tokens


def pack_numbers(numbers: NDArray[np.int64]) -> bytes:
    """Numbers by their differences, which are small where they ascend."""
    out = Writer()
    out.ints(np.diff(numbers, prepend=0))
    return out.blob(b"N")


def unpack_numbers(blob: bytes, what: str) -> NDArray[np.int64]:
    """See `pack_numbers`."""
    data = Reader(blob, b"N", what)
    differences = data.ints(np.int64)
    data.end()
    return np.cumsum(differences, dtype=np.int64)


def pack_effect(effect: ContextEffect) -> bytes:
    """An ablation's effect on one context, every float exact."""
    out = Writer()
    out.ints(effect.positions)
    out.floats(effect.loss_change)
    out.uint(effect.raised_ids.shape[1])
    for ids, change in (
        (effect.raised_ids, effect.raised),
        (effect.lowered_ids, effect.lowered),
    ):
        out.ints(ids.reshape(-1))
        out.floats(change)
    return out.blob(b"E")


def unpack_effect(blob: bytes, what: str) -> ContextEffect:
    """See `pack_effect`."""
    data = Reader(blob, b"E", what)
    positions = data.ints(np.uint16)
    loss_change = data.floats()
    shape = (len(positions), data.uint())
    flat = [data.ints(np.int32), data.floats(), data.ints(np.int32), data.floats()]
    data.end()
    if any(len(part) != shape[0] * shape[1] for part in flat) or len(loss_change) != shape[0]:
        raise data.damaged("its parts differ in length")
    raised_ids, raised, lowered_ids, lowered = (part.reshape(shape) for part in flat)
    return ContextEffect(positions, loss_change, raised_ids, raised, lowered_ids, lowered)


def pack_vocabulary(vocabulary: Vocabulary) -> bytes:
    """Every token's bytes, the special ids and the opening one."""
    out = Writer()
    out.ints(np.array([len(piece) for piece in vocabulary.pieces], dtype=np.int64))
    out.raw(b"".join(vocabulary.pieces))
    out.ints(np.array(sorted(vocabulary.special), dtype=np.int64))
    out.uint(0 if vocabulary.bos is None else vocabulary.bos + 1)
    return out.blob(b"V")


def unpack_vocabulary(blob: bytes, what: str) -> Vocabulary:
    """See `pack_vocabulary`."""
    data = Reader(blob, b"V", what)
    lengths, joined = data.ints(np.int64), data.raw()
    special, opening = data.ints(np.int64), data.uint()
    data.end()
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    if (ends[-1] if ends else 0) != len(joined):
        raise data.damaged("its parts differ in length")
    pieces = tuple(joined[a:b] for a, b in zip([0, *ends], ends, strict=False))
    return Vocabulary(pieces, frozenset(special.tolist()), opening - 1 if opening else None)


def _write_histogram(out: Writer, histogram: Histogram) -> None:
    out.double(histogram.low)
    out.double(histogram.high)
    out.ints(histogram.counts)


def _read_histogram(data: Reader) -> Histogram:
    return Histogram(data.double(), data.double(), data.ints(np.int64))


def _write_ranking(out: Writer, ranking: Ranking) -> None:
    out.ints(ranking.ids)
    out.floats(ranking.weights)
    out.floats(ranking.shares)


def _read_ranking(data: Reader) -> Ranking:
    ranking = Ranking(data.ints(np.int32), data.floats(), data.floats())
    if len(ranking.weights) != len(ranking.ids) or len(ranking.shares) not in (
        0,
        len(ranking.ids),
    ):
        raise data.damaged("its parts differ in length")
    return ranking


def _best(groups: tuple[ExampleGroup, ...]) -> Examples | None:
    """The first of the top contexts, with the firings within reach of its peak."""
    top = next((group.examples for group in groups if group.kind is GroupKind.TOP), None)
    if top is None or not len(top):
        return None
    first = slice(0, int(top.bounds[1]))
    positions = top.positions[first]
    near = np.abs(positions.astype(np.int64) - int(top.peaks[0])) <= _BEST_REACH
    return Examples(
        windows=top.windows[:1],
        peaks=top.peaks[:1],
        bounds=np.array([0, np.count_nonzero(near)], dtype=np.int64),
        positions=positions[near],
        values=top.values[first][near],
    )


def _read_best(data: Reader) -> Examples:
    window, peak = data.uint(), data.uint()
    steps, values = data.ints(np.int64), data.floats()
    positions = np.cumsum(steps, dtype=np.int64)
    last = max(peak, int(positions.max(initial=0)))
    if len(steps) != len(values) or last > 0xFFFF or window >= 1 << 63:
        raise data.damaged("its parts differ in length")
    return Examples(
        windows=np.array([window], dtype=np.int64),
        peaks=np.array([peak], dtype=np.uint16),
        bounds=np.array([0, len(values)], dtype=np.int64),
        positions=positions.astype(np.uint16),
        values=values,
    )


def _write_groups(out: Writer, groups: tuple[ExampleGroup, ...]) -> None:
    """All groups' examples column by column; firings of a context shown in two groups once."""
    out.uint(len(groups))
    for group in groups:
        out.uint(_KINDS.index(group.kind))
        out.uint(group.number + 1)
        out.double(group.low)
        out.double(group.high)
        out.uint(group.firings)
        out.uint(len(group.examples))
    if not groups:
        return
    every = _joined([group.examples for group in groups])
    chosen, place = _distinct(every)
    once = _gather(every, chosen)
    out.ints(once.windows)
    out.ints(np.diff(once.bounds))
    out.ints(_steps(once))
    out.floats(once.values)
    out.ints(place)
    out.ints(every.peaks)


def _read_groups(data: Reader) -> tuple[ExampleGroup, ...]:
    heads = [
        (data.uint(), data.uint(), data.double(), data.double(), data.uint(), data.uint())
        for _ in range(data.uint())
    ]
    if not heads:
        return ()
    # Each window is written once, with its firings; groups refer to its place in that list.
    windows, counts = data.ints(np.int64), data.ints(np.int64)
    steps, values = data.ints(np.int64), data.floats()
    place, peaks = data.ints(np.int64), data.ints(np.uint16)
    # Refuse a damaged blob before anything is cut by its numbers.
    total = sum(head[5] for head in heads)
    if (
        any(head[0] >= len(_KINDS) for head in heads)
        or len(windows) != len(counts)
        or int(counts.sum()) != len(steps)
        or len(steps) != len(values)
        or len(place) != total
        or len(peaks) != total
        or int(place.max(initial=-1)) >= len(windows)
    ):
        raise data.damaged("its parts differ in length")
    # Positions are written as steps from the one before, from 0 in each window.
    bounds = np.concatenate([[0], np.cumsum(counts)])
    sums = np.concatenate([[0], np.cumsum(steps)])
    positions = sums[1:] - np.repeat(sums[bounds[:-1]], counts)
    once = Examples(windows, peaks, bounds, positions.astype(np.uint16), values)
    # Repeat the windows that several groups show, then cut the whole into the groups.
    every = _gather(once, place)
    groups, start = [], 0
    for kind, number, low, high, firings, size in heads:
        end = start + size
        first, last = int(every.bounds[start]), int(every.bounds[end])
        examples = Examples(
            windows=every.windows[start:end],
            peaks=peaks[start:end],
            bounds=every.bounds[start : end + 1] - first,
            positions=every.positions[first:last],
            values=every.values[first:last],
        )
        groups.append(ExampleGroup(_KINDS[kind], number - 1, low, high, firings, examples))
        start = end
    return tuple(groups)


def _steps(examples: Examples) -> NDArray[np.int64]:
    """Positions as steps from the one before; an example's first from 0. They compress better."""
    positions: NDArray[np.int64] = examples.positions.astype(np.int64)
    steps: NDArray[np.int64] = positions - np.concatenate([[0], positions[:-1]])[: len(positions)]
    first = examples.bounds[:-1][np.diff(examples.bounds) > 0]
    steps[first] = examples.positions[first]
    return steps


def _joined(parts: list[Examples]) -> Examples:
    counts = np.concatenate([np.diff(part.bounds) for part in parts])
    return Examples(
        windows=np.concatenate([part.windows for part in parts]),
        peaks=np.concatenate([part.peaks for part in parts]),
        bounds=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        positions=np.concatenate([part.positions for part in parts]),
        values=np.concatenate([part.values for part in parts]),
    )


def _gather(examples: Examples, which: NDArray[np.int64]) -> Examples:
    """The examples at `which`, repeats allowed; peaks are left behind."""
    counts = np.diff(examples.bounds)[which]
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    source = np.repeat(examples.bounds[which] - bounds[:-1], counts) + np.arange(bounds[-1])
    return Examples(
        windows=examples.windows[which],
        peaks=examples.peaks[:0],
        bounds=bounds,
        positions=examples.positions[source],
        values=examples.values[source],
    )


def _distinct(every: Examples) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """One example for each window, and for every example its place among those.

    A window's firings belong to the feature, not to the group, so they are the same wherever it is
    shown; should they ever differ, all are kept.
    """
    _, chosen, place = np.unique(every.windows, return_index=True, return_inverse=True)
    rebuilt = _gather(every, chosen[place])
    if (
        np.array_equal(rebuilt.bounds, every.bounds)
        and np.array_equal(rebuilt.positions, every.positions)
        and rebuilt.values.tobytes() == every.values.tobytes()
    ):
        return chosen, place
    all_of_them = np.arange(len(every), dtype=np.int64)
    return all_of_them, all_of_them
