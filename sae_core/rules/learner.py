"""Learning where a feature fires: a few conditions, found greedily on counts.

1. For each place (the token, the two before it, the one after it) the set of tokens is found that
   describes the firings best. For a weight w the share F_w = (1 + w) hits / (w n + covered) of the
   best set of at most k tokens follows from Dinkelbach's method (Management Science 13, 1967): for
   a guess F take the k tokens largest in (1 + w) hits - F covered, if positive; their F_w is the
   next guess. w = 1 is the F1 score; a larger one counts firings that are left out for more, and
   gives sets worth narrowing down.
2. Sets and flags are narrowed by a second and a third condition: within the places that they
   cover, the same counts are made again.
3. What the first clause leaves out gets a second clause in the same way.

Each further condition must raise the F1 score on what is learnt from by `LEAST_GAIN`. Counts of a
feature that fires very often are made on a regular part of its firings, and scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.rules.attributes import NEIGHBOURS
from sae_core.rules.flags import FLAGS, bit_counts
from sae_core.rules.places import RuleText
from sae_core.rules.predicate import Clause, Condition, FlagCondition, Predicate, TokenCondition

MOST_IN_SET = 8
MOST_IN_CLAUSE = (3, 2)  # conditions of the first clause, and of the second
FEWEST_FIRINGS = 8
LEAST_GAIN = 0.01
LEAST_SHARE = 0.01  # of the firings, that a token in a set accounts for
COUNTED = 4_096  # firings, or covered places, that counts are made on
BROAD = 16.0  # the weight of firings left out where a set is to be narrowed
GOOD_ENOUGH = 0.98
BROAD_FLAGS = 2
FEWEST_HITS = 2
_ROUNDS = 8
_TOKEN, _PREVIOUS = NEIGHBOURS.index("token"), NEIGHBOURS.index("previous")


@dataclass(frozen=True)
class _Score:
    """Conditions with their counts on what is learnt from.

    Attributes:
        conditions: all of which must hold.
        hits: firings where they do, those of earlier clauses left out.
        covered: places where they do.
        f1: of them and the earlier clauses together.
    """

    conditions: tuple[Condition, ...]
    hits: float
    covered: float
    f1: float


@dataclass(frozen=True)
class _Task:
    """What a clause is to describe.

    Attributes:
        places: the firings not yet described, or a regular part of them.
        scale: of how many firings each of these stands for one.
        n: firings in all, described ones included.
        hits: of earlier clauses.
        covered: by earlier clauses.
    """

    places: NDArray[np.int64]
    scale: float
    n: int
    hits: float = 0.0
    covered: float = 0.0

    def f1(self, hits: float, covered: float) -> float:
        """The F1 score with a clause of these counts; double counts of two clauses are left in."""
        return 2 * (self.hits + hits) / (self.n + self.covered + covered)


class RuleLearner:
    """Learns rules on one text.

    Args:
        text: where features fire.
    """

    def __init__(self, text: RuleText) -> None:
        self.text = text
        # Of the feature at hand: where it fires, and where no clause says so yet.
        self._fires = np.zeros(len(text.attributes), dtype=bool)
        self._left = np.zeros(len(text.attributes), dtype=bool)

    def learn(self, places: NDArray[np.int64]) -> Predicate:
        """The rule of a feature; without clauses where it fires too seldom to learn one.

        Args:
            places: where it fires in the half that is learnt from, ascending, int64 [n].
        """
        if len(places) < FEWEST_FIRINGS:
            return Predicate(())
        self._fires[places] = self._left[places] = True
        try:
            return self._learn(places)
        finally:
            self._fires[places] = self._left[places] = False

    def best_token(self, places: NDArray[np.int64]) -> int | None:
        """The one token that describes the firings best by F1; None where there are none."""
        if not len(places):
            return None
        hits = np.bincount(self.text.attributes.neighbours[0][places])
        totals = self.text.totals[0][: len(hits)]
        return int(np.argmax(hits / (len(places) + totals)))

    def _learn(self, places: NDArray[np.int64]) -> Predicate:
        clauses: list[Clause] = []
        left = places
        hits = covered = best = 0.0
        for most in MOST_IN_CLAUSE:
            task = _Task(*_part(left), len(places), hits, covered)
            found = self._best(task, most)
            if found is None or found.f1 < best + LEAST_GAIN:
                break
            clauses.append(Clause(found.conditions))
            # Exact from here on.
            there = self.text.predicate_places(Predicate(tuple(clauses)), self.text.learnt)
            fired = there[self._fires[there]]
            hits, covered = float(len(fired)), float(len(there))
            best = 2 * hits / (len(places) + covered)
            self._left[fired] = False
            left = left[self._left[left]]
            if best > GOOD_ENOUGH or len(left) < FEWEST_FIRINGS:
                break
        return Predicate(tuple(clauses))

    def _best(self, task: _Task, most: int) -> _Score | None:
        """The best clause: for the first one every start is narrowed, then the best of all."""
        singles, broad = self._starts(task)
        scored = [*singles, *self._flagged_sets(task, broad)]
        if not scored:
            return None
        for start in broad if not task.covered else ():
            if isinstance(start.conditions[0], TokenCondition):
                scored.extend(self._narrowed(task, start))
        best = max(scored, key=_quality)
        while len(best.conditions) < most and best.f1 < GOOD_ENOUGH:
            further = max(self._narrowed(task, best), key=_quality, default=best)
            if further.f1 < best.f1 + LEAST_GAIN:
                break
            best = further
        return best

    def _starts(self, task: _Task) -> tuple[list[_Score], list[_Score]]:
        """Single conditions: the best of each kind, and broad ones worth narrowing."""
        singles: list[_Score] = []
        broad: list[_Score] = []
        for where in range(len(NEIGHBOURS)):
            column = self.text.attributes.neighbours[where]
            hits = np.bincount(column[task.places]) * task.scale
            totals = self.text.totals[where][: len(hits)]
            singles.extend(self._sets(task, where, hits, totals))
            if where in (_TOKEN, _PREVIOUS):
                broad.extend(self._sets(task, where, hits, totals, BROAD))
        own = bit_counts(self.text.attributes.flags[task.places]) * task.scale
        all_ = self.text.flag_totals
        singles.extend(self._flags(task, (), own, all_))
        others = len(task.places) * task.scale - own, self.text.learnt.n_tokens - all_
        singles.extend(self._flags(task, (), *others, wanted=False))
        broad.extend(self._flags(task, (), own, all_, weight=BROAD, most=BROAD_FLAGS))
        return singles, broad

    def _sets(
        self,
        task: _Task,
        where: int,
        hits: NDArray[np.floating],
        totals: NDArray[np.floating] | NDArray[np.integer],
        weight: float = 1.0,
        given: tuple[Condition, ...] = (),
    ) -> list[_Score]:
        """The best set of tokens at a place, beside conditions that are given; [] without one."""
        enough = max(FEWEST_HITS, LEAST_SHARE * task.n)
        tokens = np.flatnonzero(hits >= enough)
        tokens = tokens[tokens < self.text.attributes.d_vocab]
        if not len(tokens):
            return []
        own, all_ = hits[tokens], totals[tokens]
        chosen = _best_set(own, all_, task.hits, weight * task.n + task.covered, weight)
        if not len(chosen):
            return []
        got, covered = float(own[chosen].sum()), float(all_[chosen].sum())
        ids = tuple(sorted(tokens[chosen].tolist()))
        condition = TokenCondition(NEIGHBOURS[where], ids)
        return [_Score((*given, condition), got, covered, task.f1(got, covered))]

    def _flags(
        self,
        task: _Task,
        given: tuple[Condition, ...],
        hits: NDArray[np.floating],
        totals: NDArray[np.floating] | NDArray[np.integer],
        wanted: bool = True,
        weight: float = 1.0,
        most: int = 1,
    ) -> list[_Score]:
        """The best flags beside the conditions that are given."""
        value = (1 + weight) * (task.hits + hits) / (weight * task.n + task.covered + totals)
        at = np.argsort(-value, kind="stable")[:most].tolist()
        return [
            _Score(
                (*given, FlagCondition(FLAGS[number], wanted)),
                float(hits[number]),
                float(totals[number]),
                task.f1(float(hits[number]), float(totals[number])),
            )
            for number in at
            if hits[number] >= FEWEST_HITS
        ]

    def _flagged_sets(self, task: _Task, broad: list[_Score]) -> Iterator[_Score]:
        """Tokens where a flag holds: their totals were counted beforehand."""
        flags = self.text.attributes.flags[task.places]
        for start in broad:
            condition = start.conditions[0]
            if not isinstance(condition, FlagCondition):
                continue
            number = FLAGS.index(condition.flag)
            there = task.places[flags & (np.uint64(1) << np.uint64(number)) != 0]
            for where in (_TOKEN, _PREVIOUS):
                column = self.text.attributes.neighbours[where]
                hits = np.bincount(column[there]) * task.scale
                totals = self.text.with_flags[number, where][: len(hits)]
                yield from self._sets(task, where, hits, totals, given=(condition,))

    def _narrowed(self, task: _Task, start: _Score) -> list[_Score]:
        """A clause with one condition more, of every kind: the best of each."""
        places, scale = _part(self.text.clause_places(Clause(start.conditions), self.text.learnt))
        if len(places) < 2:
            return []
        hits_at = places[self._left[places]]
        narrowed: list[_Score] = []
        taken = {c.where for c in start.conditions if isinstance(c, TokenCondition)}
        for where, name in enumerate(NEIGHBOURS):
            if name in taken:
                continue
            column = self.text.attributes.neighbours[where]
            hits = np.bincount(column[hits_at]) * scale
            totals = np.bincount(column[places])[: len(hits)] * scale
            narrowed.extend(self._sets(task, where, hits, totals, given=start.conditions))
        flags = self.text.attributes.flags
        own = bit_counts(flags[hits_at]) * scale
        all_ = bit_counts(flags[places]) * scale
        narrowed.extend(self._flags(task, start.conditions, own, all_))
        others = len(hits_at) * scale - own, len(places) * scale - all_
        narrowed.extend(self._flags(task, start.conditions, *others, wanted=False))
        return narrowed


def _best_set(
    hits: NDArray[np.floating],
    totals: NDArray[np.floating] | NDArray[np.integer],
    hits_before: float,
    base: float,
    weight: float,
) -> NDArray[np.int64]:
    """Which tokens to take, at most `MOST_IN_SET`, for the largest F_w; indices."""
    gain = (1 + weight) * hits
    before = (1 + weight) * hits_before
    # The best token alone is the first guess.
    alone = (gain + before) / (base + totals)
    first = int(np.argmax(alone))
    best = float(alone[first])
    if best <= before / base:
        return np.zeros(0, dtype=np.int64)
    chosen = np.array([first])
    for _ in range(_ROUNDS):
        surplus = gain - best * totals
        at = np.flatnonzero(surplus > 0)
        if len(at) > MOST_IN_SET:
            at = at[np.argpartition(-surplus[at], MOST_IN_SET - 1)[:MOST_IN_SET]]
        value = (float(gain[at].sum()) + before) / (base + float(totals[at].sum()))
        if value <= best * (1 + 1e-12):
            break
        best, chosen = value, at
    return chosen


def _part(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
    """A regular part of at most `COUNTED` places, and how many each stands for."""
    step = -(-len(places) // COUNTED)
    if step <= 1:
        return places, 1.0
    part = places[step // 2 :: step]
    return part, len(places) / len(part)


def _quality(score: _Score) -> float:
    """By F1; of nearly equal ones the shorter."""
    named = sum(len(c.tokens) for c in score.conditions if isinstance(c, TokenCondition))
    return score.f1 - LEAST_GAIN / 2 * len(score.conditions) - LEAST_GAIN / 20 * named
