"""The text that rules are learnt and tested on, indexed so that counting costs little.

Documents are split by a seeded hash: one half is learnt from, on the other rules are tested.
Tokens lie in the order of this split, so that each half is one range. An index by token gives all
places of a token in either half; the totals that a learner divides by are counted once for all
features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sae_core.hashing import mix
from sae_core.rules.attributes import NEIGHBOURS, TokenAttributes
from sae_core.rules.flags import FLAG_NUMBER, N_FLAGS, bit_counts
from sae_core.rules.predicate import Clause, FlagCondition, Predicate, TokenCondition

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


class RuleText:
    """Attributes of a text, those of the documents that are learnt from first.

    Args:
        attributes: of all tokens, document after document.
        seed: what the split is made from.

    Attributes:
        attributes: in the order of the split.
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
        self.attributes = replace(
            attributes,
            neighbours=np.ascontiguousarray(attributes.neighbours[:, moved]),
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
        return np.argsort(self.attributes.neighbours, axis=1, kind="stable").astype(np.int32)

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

    def places_of(self, condition: TokenCondition, half: Half) -> NDArray[np.int64]:
        """All places in a half where a condition on tokens holds, in no particular order."""
        where = NEIGHBOURS.index(condition.where)
        tokens = self._known(condition)
        learnt = half is self.learnt
        begins = self._starts[where, tokens] if learnt else self._mids[where, tokens]
        ends = self._mids[where, tokens] if learnt else self._starts[where][1:][tokens]
        places: NDArray[np.int64] = self._order[where][_ranges(begins, ends - begins)].astype(
            np.int64
        )
        return places

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
            flags = self.attributes.flags[half.begin : half.end]
            return np.flatnonzero((flags & bits) == must) + half.begin
        # The rarest tokens first: the other conditions are looked up where they stand.
        rarest = min(named, key=self._frequency)
        places = self.places_of(rarest, half)
        for condition in named:
            if condition is not rarest:
                places = places[self._is_at(condition, places)]
        if bits:
            places = places[(self.attributes.flags[places] & bits) == must]
        return places

    def predicate_places(self, predicate: Predicate, half: Half) -> NDArray[np.int64]:
        """All places in a half where a predicate holds, in no particular order."""
        if len(predicate.clauses) == 1:
            return self.clause_places(predicate.clauses[0], half)
        holds = np.zeros(half.n_tokens, dtype=bool)
        for clause in predicate.clauses:
            holds[self.clause_places(clause, half) - half.begin] = True
        return np.flatnonzero(holds) + half.begin

    def _frequency(self, condition: TokenCondition) -> int:
        where = NEIGHBOURS.index(condition.where)
        tokens = self._known(condition)
        return int((self._starts[where][1:] - self._starts[where][:-1])[tokens].sum())

    def _is_at(self, condition: TokenCondition, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        column = self.attributes.neighbours[NEIGHBOURS.index(condition.where)][places]
        holds: NDArray[np.bool_] = np.isin(column, self._known(condition))
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
