"""The text that rules are learnt and tested on, indexed so that counting costs little.

Documents are split by a seeded hash: one half is learnt from, on the other rules are tested.
Tokens lie in the order of this split, so that each half is one range. An index by token gives all
places of a token in either half; the totals that a learner divides by are counted once for all
features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sae_core.files.hashing import mix
from sae_core.rules.attributes import NEIGHBOURS, TokenAttributes
from sae_core.rules.flags import FLAG_NUMBER, N_FLAGS, bit_counts
from sae_core.rules.predicate import Clause, Condition, FlagCondition, Predicate, TokenCondition

_AT_ONCE = 1 << 16  # tokens whose flags are unpacked together; float32 counts so many exactly
_SPLIT = 0x52554C45  # sets this draw apart from others of the same seed


@dataclass(frozen=True)
class Half:
    """The documents that rules are learnt from, or those that they are tested on.

    Attributes:
        begin: of its tokens among all.
        end: behind them.
        documents: number, from 0, of each of these tokens' documents, ascending, int64.
        n_documents: how many there are.
    """

    begin: int
    end: int
    documents: NDArray[np.int64]
    n_documents: int

    @property
    def n_tokens(self) -> int:
        """Tokens in it."""
        return self.end - self.begin


@dataclass(frozen=True)
class GivenTotals:
    """How often tokens and flags stand where some conditions hold, in what is learnt from.

    Attributes:
        n: places where they hold.
        flags: how often each flag does there, [64].
        of_tokens: how often tokens (ids, [n]) stand there at a place of `NEIGHBOURS`, [n].
    """

    n: float
    flags: NDArray[np.floating] | NDArray[np.integer]
    of_tokens: Callable[[int, NDArray[np.int64]], NDArray[np.floating] | NDArray[np.integer]]


class RuleText:
    """Attributes of a text, those of the documents that are learnt from first.

    Args:
        attributes: of all tokens, document after document.
        seed: what the split is made from.

    Attributes:
        attributes: in the order of the split; what is around a token lies together.
        around: its neighbours, int32 [n, 4].
        place_of: where each token went, int64 [n].
        learnt: the half that rules are learnt from.
        held_out: the half that they are tested on; of one document alone it is empty.
    """

    def __init__(self, attributes: TokenAttributes, seed: int) -> None:
        starts = attributes.document_starts
        sizes = np.diff(starts)
        numbers = attributes.documents[starts[:-1]]
        n = len(numbers)
        draw = np.argsort(mix(seed, _SPLIT, numbers), kind="stable")
        order = np.concatenate([np.sort(draw[: -(-n // 2)]), np.sort(draw[-(-n // 2) :])])
        moved = _ranges(starts[:-1][order], sizes[order])
        self.place_of = np.empty(len(moved), dtype=np.int64)
        self.place_of[moved] = np.arange(len(moved))
        self.around = np.ascontiguousarray(attributes.neighbours.T).take(moved, axis=0)
        self.attributes = replace(
            attributes,
            neighbours=self.around.T,
            flags=attributes.flags[moved],
            documents=attributes.documents[moved],
        )
        first = -(-n // 2)
        middle = int(sizes[order[:first]].sum())
        self.learnt = Half(0, middle, np.repeat(np.arange(first), sizes[order[:first]]), first)
        self.held_out = Half(
            middle, len(moved), np.repeat(np.arange(n - first), sizes[order[first:]]), n - first
        )

    @cached_property
    def totals(self) -> NDArray[np.int64]:
        """How often each token stands at each place of `NEIGHBOURS` in what is learnt from, int64
        [4, d_vocab + 1]."""
        return self._mids - self._starts[:, :-1]

    @cached_property
    def flag_totals(self) -> NDArray[np.int64]:
        """How often each flag holds there, int64 [64]."""
        return bit_counts(self.attributes.flags[: self.learnt.end]).astype(np.int64)

    @cached_property
    def with_flags(self) -> NDArray[np.int32]:
        """As `totals`, of the tokens for which a flag holds, int32 [64, 4, d_vocab + 1]."""
        size = self.attributes.d_vocab + 1
        columns = self.attributes.neighbours[:, : self.learnt.end]
        flags = self.attributes.flags[: self.learnt.end]
        counts = np.zeros((N_FLAGS, len(NEIGHBOURS), size), dtype=np.int32)
        for number in range(N_FLAGS):
            at = np.flatnonzero(flags & (np.uint64(1) << np.uint64(number)))
            for place, column in enumerate(columns):
                counts[number, place] = np.bincount(column[at], minlength=size)
        return counts

    @cached_property
    def _order(self) -> NDArray[np.int32]:
        """Places by the token that stands there, ascending for each, int32 [4, n]."""
        columns = self.attributes.neighbours
        if self.attributes.d_vocab < 1 << 16:
            columns = columns.astype(np.uint16, order="C")  # sorted by digits, several times faster
        return np.stack([np.argsort(c, kind="stable").astype(np.int32) for c in columns])

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where the places of each token begin in `_order`, int64 [4, d_vocab + 2]."""
        return self._edges(len(self.attributes))

    @cached_property
    def _mids(self) -> NDArray[np.int64]:
        """Where those of the held-out half begin, int64 [4, d_vocab + 1]."""
        return self._starts[:, :-1] + np.diff(self._edges(self.learnt.end))

    def _edges(self, end: int) -> NDArray[np.int64]:
        size = self.attributes.d_vocab + 1
        columns = self.attributes.neighbours[:, :end]
        counts = [np.bincount(column, minlength=size) for column in columns]
        return np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))

    def frequent(
        self, around: NDArray[np.int32], least: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which tokens stand so often at the places of `NEIGHBOURS`, and how often each.

        Args:
            around: rows of `around`, [n, 4], or only their first columns.
            least: how often.

        Returns:
            `(d_vocab + 1) place + id` of each, ascending, and its count.
        """
        size, columns = self.attributes.d_vocab + 1, around.shape[1]
        flat = (around + size * np.arange(columns)).ravel()
        if 4 * len(flat) < size * columns:
            flat.sort()
            ends = np.empty(len(flat), dtype=bool)
            ends[-1:] = True
            np.not_equal(flat[1:], flat[:-1], out=ends[:-1])
            last = ends.nonzero()[0]
            counts = last.copy()
            counts[1:] -= last[:-1]
            counts[:1] += 1
            enough = counts >= least
            at, counts = flat[last[enough]], counts[enough]
        else:
            counts = np.bincount(flat, minlength=size * columns)
            at = (counts >= least).nonzero()[0]
            counts = counts[at]
        named = at % size != size - 1  # where there is no token, none can be named
        return at[named], counts[named]

    def given_totals(self, conditions: tuple[Condition, ...], most: int) -> GivenTotals:
        """What stands where conditions hold: exact for one condition, and for several where they
        hold at so many places; else counted on a regular part of these, and scaled."""
        first, *others = conditions
        if others:
            return self._counted(Clause(conditions), most)
        if isinstance(first, FlagCondition):
            return self._given_flag(FLAG_NUMBER[first.flag], first.wanted)
        own = NEIGHBOURS.index(first.where)
        tokens = np.array(self._known(first), dtype=np.int64)
        flags = self.with_flags[:, own, tokens].sum(axis=1)

        def of_tokens(where: int, ids: NDArray[np.int64]) -> NDArray[np.int64]:
            return self._pairs_of(own, tokens, where, ids)

        return GivenTotals(float(self.totals[own, tokens].sum()), flags, of_tokens)

    def _given_flag(self, number: int, wanted: bool) -> GivenTotals:
        flags, n = self._flag_pairs[number], self.flag_totals[number]
        with_flag = self.with_flags[number]
        if wanted:
            return GivenTotals(float(n), flags, lambda where, ids: with_flag[where, ids])
        return GivenTotals(
            float(self.learnt.n_tokens - n),
            self.flag_totals - flags,
            lambda where, ids: self.totals[where, ids] - with_flag[where, ids],
        )

    def _counted(self, clause: Clause, most: int) -> GivenTotals:
        places, scale = regular_part(self.clause_places(clause, self.learnt), most)
        around = self.around.take(places, axis=0)
        size = self.attributes.d_vocab + 1

        def of_tokens(where: int, ids: NDArray[np.int64]) -> NDArray[np.floating]:
            counts: NDArray[np.floating] = (
                np.bincount(around[:, where], minlength=size)[ids] * scale
            )
            return counts

        flags = bit_counts(self.attributes.flags.take(places)) * scale
        return GivenTotals(len(places) * scale, flags, of_tokens)

    @cached_property
    def _flag_pairs(self) -> NDArray[np.int64]:
        """How often two flags hold together in what is learnt from, int64 [64, 64]."""
        octets = self.attributes.flags[: self.learnt.end].astype("<u8", copy=False).view(np.uint8)
        pairs = np.zeros((N_FLAGS, N_FLAGS), dtype=np.int64)
        for begin in range(0, len(octets), 8 * _AT_ONCE):
            some = octets[begin : begin + 8 * _AT_ONCE].reshape(-1, 8)
            bits = np.unpackbits(some, axis=1, bitorder="little").astype(np.float32)
            pairs += (bits.T @ bits).astype(np.int64)
        return pairs

    @cached_property
    def _pairs(self) -> dict[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For two of `NEIGHBOURS` the pairs of tokens that stand there in what is learnt from,
        `(d_vocab + 1) first + second`, ascending, and how often each does."""
        size = np.int64(self.attributes.d_vocab + 1)
        columns = self.attributes.neighbours[:, : self.learnt.end].astype(np.int64)
        return {
            (a, b): np.unique(columns[a] * size + columns[b], return_counts=True)
            for a, b in combinations(range(len(NEIGHBOURS)), 2)
        }

    def _pairs_of(
        self, own: int, tokens: NDArray[np.int64], where: int, ids: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How often any of some tokens stands at one place and each of others at another one."""
        size = self.attributes.d_vocab + 1
        keys, counts = self._pairs[min(own, where), max(own, where)]
        first, second = (tokens[:, None], ids) if own < where else (ids, tokens[:, None])
        wanted = first * size + second
        at = np.minimum(keys.searchsorted(wanted), len(keys) - 1)
        together: NDArray[np.int64] = (counts[at] * (keys[at] == wanted)).sum(axis=0)
        return together

    def places_of(self, condition: TokenCondition, half: Half) -> NDArray[np.int64]:
        """All places in a half where a condition on tokens holds, in no particular order."""
        where, begins, ends = self._spans(condition, half)
        order = self._order[where]
        spans = [order[b:e] for b, e in zip(begins.tolist(), ends.tolist(), strict=True)]
        places: NDArray[np.int64] = np.concatenate([order[:0], *spans]).astype(np.int64)
        return places

    def _spans(
        self, condition: TokenCondition, half: Half
    ) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """The row of `_order` of a condition, and where its tokens' places begin and end there."""
        where = NEIGHBOURS.index(condition.where)
        tokens = self._known(condition)
        learnt = half is self.learnt
        begins = self._starts[where, tokens] if learnt else self._mids[where, tokens]
        ends = self._mids[where, tokens] if learnt else self._starts[where][1:][tokens]
        return where, begins, ends

    def clause_places(self, clause: Clause, half: Half) -> NDArray[np.int64]:
        """All places in a half where all conditions of a clause hold, in no particular order."""
        named = [c for c in clause.conditions if isinstance(c, TokenCondition)]
        must, bits = np.uint64(0), np.uint64(0)
        for condition in clause.conditions:
            if isinstance(condition, FlagCondition):
                bit = np.uint64(1) << np.uint64(FLAG_NUMBER[condition.flag])
                bits |= bit
                must |= bit if condition.wanted else np.uint64(0)
        if not named:
            return self._flagged(int(bits), int(must), half)
        # The rarest tokens first: the other conditions are looked up where they stand.
        rarest = min(named, key=self._frequency)
        places = self.places_of(rarest, half)
        for condition in named:
            if condition is not rarest:
                places = places[self._is_at(condition, places)]
        if bits:
            places = places[(self.attributes.flags[places] & bits) == must]
        return places

    def _flagged(self, bits: int, must: int, half: Half) -> NDArray[np.int64]:
        """All places in a half with these of some flags, ascending."""
        places: NDArray[np.int64] | None = None
        for octet, plane in enumerate(self._planes):
            some, wanted = bits >> 8 * octet & 255, must >> 8 * octet & 255
            if some and places is None:
                holds = (plane[half.begin : half.end] & np.uint8(some)) == wanted
                places = holds.nonzero()[0] + half.begin
            elif some and places is not None:
                places = places[(plane[places] & np.uint8(some)) == wanted]
        return np.arange(half.begin, half.end) if places is None else places

    @cached_property
    def _planes(self) -> NDArray[np.uint8]:
        """The flags, eight at a time: looking for one reads an eighth of them, uint8 [8, n]."""
        octets = self.attributes.flags.astype("<u8", copy=False).view(np.uint8)
        return np.ascontiguousarray(octets.reshape(-1, 8).T)

    def predicate_places(self, predicate: Predicate, half: Half) -> NDArray[np.int64]:
        """All places in a half where a predicate holds, in no particular order."""
        if len(predicate.clauses) == 1:
            return self.clause_places(predicate.clauses[0], half)
        holds = np.zeros(half.n_tokens, dtype=bool)
        for clause in predicate.clauses:
            holds[self.clause_places(clause, half) - half.begin] = True
        return np.flatnonzero(holds) + half.begin

    def _frequency(self, condition: TokenCondition) -> int:
        starts = self._starts[NEIGHBOURS.index(condition.where)]
        tokens = np.array(self._known(condition), dtype=np.int64)
        return int((starts[tokens + 1] - starts[tokens]).sum())

    def _is_at(self, condition: TokenCondition, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        column = self.attributes.neighbours[NEIGHBOURS.index(condition.where)][places]
        named = np.zeros(self.attributes.d_vocab + 1, dtype=bool)
        named[self._known(condition)] = True
        holds: NDArray[np.bool_] = named[column]
        return holds

    def _known(self, condition: TokenCondition) -> list[int]:
        """Its tokens, as far as the vocabulary has them."""
        return [token for token in condition.tokens if token < self.attributes.d_vocab]


def _ranges(begins: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of several ranges, one after the other."""
    if not len(sizes):
        return np.zeros(0, dtype=np.int64)
    total = int(sizes.sum())
    shift = begins - np.concatenate([[0], np.cumsum(sizes)[:-1]])
    numbers: NDArray[np.int64] = np.arange(total, dtype=np.int64) + np.repeat(shift, sizes)
    return numbers


def regular_part(places: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], float]:
    """A regular part of at most so many places, and how many each stands for."""
    step = -(-len(places) // most)
    if step <= 1:
        return places, 1.0
    part = places[step // 2 :: step]
    return part, len(places) / len(part)
