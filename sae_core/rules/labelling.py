"""Rules for all features of a dictionary, from all of their firings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sae_core.rules.held_out import HeldOutTester
from sae_core.rules.learner import FEWEST_FIRINGS, RuleLearner
from sae_core.rules.null import NullPool, pool_features, shuffled
from sae_core.rules.places import RuleText
from sae_core.rules.record import RuleFigure, RuleRecord
from sae_core.rules.sentence import sentence

Firings = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Where a feature fires among the tokens of a `RuleText`, ascending, and its activations there."""

_NO_FIGURE = RuleFigure(None)
_NULL, _DEAD = 0x4E554C4C, "It never fires."


class RuleLabeller:
    """Learns and tests the rules of one dictionary's features.

    Args:
        text: that was harvested.
        counts: firings of each feature, int64 [d_sae].
        read: the firings of one feature.
        visible: how a token is shown in sentences.
        seed: of the split and of the shuffles.
    """

    def __init__(
        self,
        text: RuleText,
        counts: NDArray[np.int64],
        read: Callable[[int], Firings],
        visible: Callable[[int], str],
        seed: int,
    ) -> None:
        self.text = text
        self._counts = counts
        self._read = read
        self._visible = cache(visible)
        self._seed = seed
        self._learner = RuleLearner(text)
        self._tester = HeldOutTester(text)

    @property
    def pool(self) -> NDArray[np.int64]:
        """The features whose firings are shuffled for the null."""
        if not self.text.held_out.n_documents:
            return np.zeros(0, dtype=np.int64)
        return pool_features(self._counts, 2 * FEWEST_FIRINGS)

    def shuffled_scores(self, draw: int = 0) -> Iterator[tuple[int, float]]:
        """For each of the pool its firings, and the F1 of the rule of its shuffled firings."""
        for number, feature in enumerate(self.pool.tolist()):
            places, _ = self._read(feature)
            moved = shuffled(self.text, places, (self._seed, _NULL, draw, number))
            learnt, held_out = self._halves(moved)
            predicate = self._learner.learn(moved[learnt])
            yield len(places), self._tester.score(predicate, moved[held_out])

    def records(self, pool: Sequence[tuple[int, float]]) -> Iterator[RuleRecord]:
        """The rule of each feature, by index; `pool` holds all of `shuffled_scores`."""
        null = NullPool(
            np.array([firings for firings, _ in pool], dtype=np.int64),
            np.array([score for _, score in pool], dtype=np.float64),
        )
        for index in range(len(self._counts)):
            yield self._record(index, null)

    def _record(self, index: int, null: NullPool) -> RuleRecord:
        if not self._counts[index]:
            return self._without(index, _DEAD)
        if not self.text.held_out.n_documents:
            return self._without(
                index, "Without a second document there is none to test a rule on."
            )
        places, values = self._read(index)
        learnt, held_out = self._halves(places)
        predicate = self._learner.learn(places[learnt])
        tested, activations = places[held_out], values[held_out]
        token = self._learner.best_token(places[learnt])
        token_f1 = _NO_FIGURE
        if token is not None:
            token_f1 = self._tester.token_f1(token, tested)
        if not predicate.clauses:
            why = "No rule describes where it fires."
            if learnt.stop - learnt.start < FEWEST_FIRINGS:
                part = f" in the {len(self.text.attributes):,} tokens that were looked at"
                somewhere = part if len(places) < self._counts[index] else ""
                why = f"It fires too seldom for a rule{somewhere}."
            return self._without(index, why, token, token_f1)
        test = self._tester.test(predicate, tested, activations)
        return RuleRecord(
            index=index,
            predicate=predicate,
            sentence=sentence(predicate, self._visible),
            test=test,
            token=token,
            token_f1=token_f1,
            null=null.compare(len(places), test.f1.value or 0.0),
            documents=self.text.held_out.n_documents,
            tokens=self.text.held_out.n_tokens,
        )

    def _without(
        self,
        index: int,
        why: str,
        token: int | None = None,
        token_f1: RuleFigure = _NO_FIGURE,
    ) -> RuleRecord:
        half = self.text.held_out
        return RuleRecord(
            index, None, why, None, token, token_f1, None, half.n_documents, half.n_tokens
        )

    def _halves(self, places: NDArray[np.int64]) -> tuple[slice, slice]:
        """Which of some ascending places are learnt from, and which are held out."""
        cut = int(np.searchsorted(places, self.text.held_out.begin))
        return slice(0, cut), slice(cut, len(places))
