"""Learning where a feature fires: a few conditions, found greedily on counts.

1. For each place (the token, the two before it, the one after it) the set of tokens is found that
   describes the firings best by F1 (`token_sets.py`); and with firings that are left out counted
   for more, which gives sets worth narrowing down.
2. Sets and flags are narrowed by a second and a third condition: within the places that they
   cover, the same counts are made again.
3. What the first clause leaves out gets a second clause in the same way.

Each further condition must raise the F1 score on what is learnt from by `LEAST_GAIN`. Counts of a
feature that fires very often are made on a regular part of its firings, and scaled. What cannot
become the best clause, were all of its places firings, is left without being counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sae_core.rules.attributes import NEIGHBOURS
from sae_core.rules.flags import FLAG_NUMBER, FLAGS, N_FLAGS, bit_counts
from sae_core.rules.places import RuleText, regular_part
from sae_core.rules.predicate import Clause, Condition, FlagCondition, Predicate, TokenCondition
from sae_core.rules.token_sets import MOST_IN_SET, best_set, total

MOST_IN_CLAUSE = (3, 2)  # conditions of the first clause, and of the second
FEWEST_FIRINGS = 8
LEAST_GAIN = 0.01
LEAST_SHARE = 0.01  # of the firings, that a token in a set accounts for
COUNTED = 4_096  # firings, or covered places, that counts are made on
BROAD = 16.0  # the weight of firings left out where a set is to be narrowed
GOOD_ENOUGH = 0.98
BROAD_FLAGS = 2
FEWEST_HITS = 2
_PREVIOUS = NEIGHBOURS.index("previous")  # tokens up to there are narrowed down
_EXACT = 2  # conditions, for which what they cover is known from tables
_PER_CONDITION, _PER_TOKEN = LEAST_GAIN / 2, LEAST_GAIN / 20
_ROUNDING = 1e-9


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
        around: what stands around the firings not yet described, or a regular part of them,
            int32 [places, 4].
        flags: of these places.
        scale: of how many firings each of these stands for one.
        n: firings in all, described ones included.
        hits: of earlier clauses.
        covered: by earlier clauses.
    """

    around: NDArray[np.int32]
    flags: NDArray[np.uint64]
    scale: float
    n: int
    hits: float
    covered: float

    @cached_property
    def fewest(self) -> int:
        """How often a token must be counted among these places to be named."""
        enough = max(FEWEST_HITS, LEAST_SHARE * self.n)
        count = int(enough / self.scale)
        while count * self.scale < enough:
            count += 1
        return count

    def f1(self, hits: float, covered: float) -> float:
        """The F1 score with a clause of these counts; double counts of two clauses are left in."""
        return 2 * (self.hits + hits) / (self.n + self.covered + covered)


@dataclass(frozen=True)
class _Tokens:
    """Tokens that account for enough firings at one place.

    Attributes:
        where: the place, of `NEIGHBOURS`.
        ids: of each.
        hits: firings on each.
    """

    where: int
    ids: NDArray[np.int64]
    hits: list[float]


class RuleLearner:
    """Learns rules on one text.

    Args:
        text: where features fire.
    """

    def __init__(self, text: RuleText) -> None:
        self.text = text
        self._named = np.zeros(text.attributes.d_vocab + 1, dtype=bool)

    def learn(self, places: NDArray[np.int64]) -> Predicate:
        """The rule of a feature; without clauses where it fires too seldom to learn one.

        Args:
            places: where it fires in the half that is learnt from, ascending, int64 [n].
        """
        if len(places) < FEWEST_FIRINGS:
            return Predicate(())
        return self._learn(places)

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
        for number, most in enumerate(MOST_IN_CLAUSE, 1):
            task = self._task(left, len(places), hits, covered)
            found = self._best(task, most)
            if found is None or found.f1 < best + LEAST_GAIN:
                break
            clauses.append(Clause(found.conditions))
            if number == len(MOST_IN_CLAUSE):
                break
            # Exact from here on.
            left, covered = self._left(task, found, left)
            hits = float(len(places) - len(left))
            best = 2 * hits / (len(places) + covered)
            if best > GOOD_ENOUGH or len(left) < FEWEST_FIRINGS:
                break
        return Predicate(tuple(clauses))

    def _task(self, left: NDArray[np.int64], n: int, hits: float, covered: float) -> _Task:
        places, scale = regular_part(left, COUNTED)
        around = self.text.around.take(places, axis=0)
        return _Task(around, self.text.attributes.flags.take(places), scale, n, hits, covered)

    def _left(
        self, task: _Task, clause: _Score, left: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], float]:
        """The firings that the first clause leaves out, and how many places it covers."""
        around, flags = task.around, task.flags
        if len(flags) < len(left):
            around = self.text.around.take(left, axis=0)
            flags = self.text.attributes.flags.take(left)
        covered = clause.covered
        if len(clause.conditions) > _EXACT:
            there = self.text.clause_places(Clause(clause.conditions), self.text.learnt)
            covered = float(len(there))
        return left[~self._hold(around, flags, clause.conditions)], covered

    def _best(self, task: _Task, most: int) -> _Score | None:
        """The best clause: for the first one every start is narrowed, then the best of all."""
        best = _Best()
        broad = self._starts(task, best)
        for start in broad:
            self._narrow(task, start, best)
        if best.score is None:
            return None
        while len(best.score.conditions) < most and best.score.f1 < GOOD_ENOUGH:
            wanted = best.score.f1 + LEAST_GAIN
            # What the best further clause is worth at least, if it gains enough.
            longest = _named(best.score.conditions) + MOST_IN_SET
            further = _Best(_less(wanted, len(best.score.conditions) + 1, longest) - _ROUNDING)
            self._narrow(task, best.score.conditions, further)
            if further.score is None or further.score.f1 < wanted:
                break
            best = further
        return best.score

    def _starts(self, task: _Task, best: _Best) -> list[tuple[Condition, ...]]:
        """Try single conditions of each kind, and tokens where a flag holds.

        Returns:
            Sets of tokens that are worth narrowing down.
        """
        text = self.text
        tokens = self._tokens(task, task.around)
        broad: list[tuple[Condition, ...]] = []
        for some in tokens:
            totals = text.totals[some.where, some.ids].tolist()
            best.offer(self._set(task, some, totals, (), best.floor))
            if some.where <= _PREVIOUS and not task.covered:
                start = self._set(task, some, totals, (), weight=BROAD)
                broad.extend([start.conditions] if start else [])
        hits = _both(bit_counts(task.flags), len(task.flags)) * task.scale
        totals = _both(text.flag_totals, text.learnt.n_tokens)
        best.offer(*_flags(task, (), hits, totals))
        value = (1 + BROAD) * (task.hits + hits[0]) / (BROAD * task.n + task.covered + totals[0])
        for number in np.argsort(-value, kind="stable")[:BROAD_FLAGS].tolist():
            if hits[0, number] < FEWEST_HITS:
                continue
            there = (task.flags >> np.uint64(number)) & np.uint64(1) != 0
            given = (FlagCondition(FLAGS[number]),)
            for some in self._tokens(task, task.around[there, : _PREVIOUS + 1]):
                totals = text.with_flags[number, some.where, some.ids].tolist()
                best.offer(self._set(task, some, totals, given, best.floor))
        return broad

    def _tokens(self, task: _Task, around: NDArray[np.int32]) -> list[_Tokens]:
        """Tokens that account for enough firings of some of a task, place by place."""
        size, columns = self.text.attributes.d_vocab + 1, around.shape[1]
        at, counts = self.text.frequent(around, task.fewest)
        cuts = at.searchsorted(size * np.arange(columns + 1)).tolist()
        hits = (counts * task.scale).tolist()
        return [
            _Tokens(where, at[begin:end] - where * size, hits[begin:end])
            for where, (begin, end) in enumerate(pairwise(cuts))
            if end > begin
        ]

    def _set(
        self,
        task: _Task,
        tokens: _Tokens,
        totals: list[float],
        given: tuple[Condition, ...],
        floor: float = -np.inf,
        weight: float = 1.0,
    ) -> _Score | None:
        """The best set of some tokens, beside conditions that are given.

        Args:
            task: what is to be described.
            tokens: at one place.
            totals: how often each of them stands there where the conditions hold.
            given: the conditions.
            floor: the quality that it must reach; else None.
            weight: of firings left out.
        """
        base = weight * task.n + task.covered
        # Dinkelbach's first step from the F1 that it must have: is there a set that has it?
        wanted = _most(floor, len(given) + 1, _named(given) + 1) - _ROUNDING
        if wanted > 0:
            pairs = zip(tokens.hits, totals, strict=True)
            surplus = sum([more for own, all_ in pairs if (more := 2 * own - wanted * all_) > 0])
            if surplus < wanted * base - 2 * task.hits:
                return None
        chosen = best_set(tokens.hits, totals, task.hits, base, weight)
        if not chosen:
            return None
        got, covered = total([tokens.hits[n] for n in chosen]), total([totals[n] for n in chosen])
        ids = tuple(sorted(tokens.ids[chosen].tolist()))
        condition = TokenCondition(NEIGHBOURS[tokens.where], ids)
        return _Score((*given, condition), got, covered, task.f1(got, covered))

    def _narrow(self, task: _Task, given: tuple[Condition, ...], best: _Best) -> None:
        """Try one condition more beside those that are given, of every kind."""
        there = self._hold(task.around, task.flags, given)
        hits = np.count_nonzero(there) * task.scale
        # Were they firings only, and all of them described by one condition more:
        if _less(task.f1(hits, hits), len(given) + 1, _named(given)) < best.floor - _ROUNDING:
            return
        around, flags = task.around[there], task.flags[there]
        totals = self.text.given_totals(given, COUNTED)
        taken = {c.where for c in given if isinstance(c, TokenCondition)}
        for some in self._tokens(task, around):
            if NEIGHBOURS[some.where] in taken:
                continue
            of_each = totals.of_tokens(some.where, some.ids).tolist()
            best.offer(self._set(task, some, of_each, given, best.floor))
        own = _both(bit_counts(flags), len(flags)) * task.scale
        best.offer(*_flags(task, given, own, _both(totals.flags, totals.n)))

    def _hold(
        self,
        around: NDArray[np.int32],
        flags: NDArray[np.uint64],
        conditions: tuple[Condition, ...],
    ) -> NDArray[np.bool_]:
        """At which of some places conditions hold."""
        holds = np.ones(len(flags), dtype=bool)
        for condition in conditions:
            if isinstance(condition, TokenCondition):
                tokens = list(condition.tokens)
                self._named[tokens] = True
                holds &= self._named[around[:, NEIGHBOURS.index(condition.where)]]
                self._named[tokens] = False
            else:
                number = np.uint64(FLAG_NUMBER[condition.flag])
                holds &= ((flags >> number) & np.uint64(1) != 0) == condition.wanted
        return holds


class _Best:
    """The best clause so far.

    Attributes:
        floor: its quality, or what one must reach.
        score: the clause, once there is one.
    """

    def __init__(self, floor: float = -np.inf) -> None:
        self.floor = floor
        self.score: _Score | None = None

    def offer(self, *scores: _Score | None) -> None:
        """Take a clause if it is better; of equal ones the first stays."""
        for score in scores:
            if score is not None and (quality := _quality(score)) > self.floor:
                self.floor, self.score = quality, score


def _both(counts: NDArray[np.floating] | NDArray[np.integer], n: float) -> NDArray[np.float64]:
    """How often each flag holds, and how often it does not, among n, [2, 64]."""
    both = np.empty((2, N_FLAGS))
    both[0] = counts
    both[1] = n - counts
    return both


def _flags(
    task: _Task,
    given: tuple[Condition, ...],
    hits: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> Iterator[_Score]:
    """The best flag beside the conditions that are given, and the best that must not hold."""
    value = 2 * (task.hits + hits) / (task.n + task.covered + totals)
    for row, number in enumerate(value.argmax(axis=1).tolist()):
        got, covered = float(hits[row, number]), float(totals[row, number])
        if got >= FEWEST_HITS:
            condition = FlagCondition(FLAGS[number], not row)
            yield _Score((*given, condition), got, covered, task.f1(got, covered))


def _named(conditions: tuple[Condition, ...]) -> int:
    """How many tokens they name."""
    return sum(len(c.tokens) for c in conditions if isinstance(c, TokenCondition))


def _less(f1: float, n_conditions: int, named: int) -> float:
    """An F1 score less what conditions and named tokens cost."""
    return f1 - _PER_CONDITION * n_conditions - _PER_TOKEN * named


def _most(quality: float, n_conditions: int, named: int) -> float:
    """The F1 score that gives such a quality."""
    return quality + _PER_CONDITION * n_conditions + _PER_TOKEN * named


def _quality(score: _Score) -> float:
    """By F1; of nearly equal ones the shorter."""
    return _less(score.f1, len(score.conditions), _named(score.conditions))
