"""How well a predicate says where a feature fires, in documents that it was not learnt from.

Every figure is a function of sums over documents; its interval is the jackknife's over documents
(`sae_core/evaluation/document_sums.py`). Where there are very many documents, groups of them are
left out instead, which gives the same interval but for chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sae_core.evaluation.document_sums import interval
from sae_core.rules.places import RuleText
from sae_core.rules.predicate import Predicate, TokenCondition
from sae_core.rules.record import RuleFigure, RuleTest

MOST_GROUPS = 512

_Sums = NDArray[np.float64]
_HITS, _COVERED, _FIRINGS, _COVERED_SUM, _SUM, _SQUARES, _TOKENS = range(7)


class HeldOutTester:
    """Tests predicates on the held-out half of a text.

    Args:
        text: split into halves.
    """

    def __init__(self, text: RuleText) -> None:
        self.text = text
        half = text.held_out
        self._groups = min(MOST_GROUPS, half.n_documents)
        self._group_of = (half.documents % max(1, self._groups)).astype(np.int16)
        self._tokens = np.bincount(self._group_of, minlength=self._groups).astype(np.float64)
        self._of_token: dict[int, _Sums] = {}
        self._activations = np.zeros(half.n_tokens, dtype=np.float32)

    def test(
        self, predicate: Predicate, places: NDArray[np.int64], values: NDArray[np.float32]
    ) -> RuleTest:
        """All figures of a predicate.

        Args:
            predicate: to be tested.
            places: where the feature fires in the held-out half, int64 [n].
            values: its activations there, > 0, float32 [n].
        """
        sums = _left_out(self._sums(predicate, places, values))
        return RuleTest(
            f1=_figure(_f1, sums),
            precision=_figure(_precision, sums, most=1.0),
            recall=_figure(_recall, sums, most=1.0),
            correlation=_figure(_correlation, sums, least=-1.0, most=1.0),
            firings=int(sums[_FIRINGS, 0]),
            covered=int(sums[_COVERED, 0]),
        )

    def token_f1(self, token: int, places: NDArray[np.int64]) -> RuleFigure:
        """The F1 score of a single token, with its interval."""
        if token not in self._of_token:
            alone = TokenCondition("token", (token,))
            there = self.text.places_of(alone, self.text.held_out) - self.text.held_out.begin
            self._of_token[token] = self._summed(self._group_of[there])
        firings = self._group_of[places - self.text.held_out.begin]
        hits = firings[self.text.around[places, 0] == token]
        sums = (self._summed(hits), self._of_token[token], self._summed(firings))
        return _figure(_f1, _left_out(np.stack(sums)))

    def score(self, predicate: Predicate, places: NDArray[np.int64]) -> float:
        """The F1 score alone."""
        there, own = self._covered(predicate, places, 1)
        return 2 * float(np.count_nonzero(own)) / max(1, len(there) + len(places))

    def _covered(
        self, predicate: Predicate, places: NDArray[np.int64], values: NDArray[np.float32] | int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Where a predicate holds, counted from the half's begin, and the activations there."""
        half = self.text.held_out
        there = self.text.predicate_places(predicate, half) - half.begin
        at = places - half.begin
        self._activations[at] = values
        own = self._activations[there]
        self._activations[at] = 0
        return there, own

    def _summed(
        self, groups: NDArray[np.integer], weights: NDArray[np.float64] | None = None
    ) -> _Sums:
        """How many of some tokens, or what sum, each group of documents has, [groups]."""
        return np.bincount(groups, weights, self._groups).astype(np.float64)

    def _sums(
        self, predicate: Predicate, places: NDArray[np.int64], values: NDArray[np.float32]
    ) -> _Sums:
        """The sums of each group of documents, float64 [7, groups]."""
        there, covered = self._covered(predicate, places, values)
        own, exact = covered.astype(np.float64), values.astype(np.float64)
        of_there = self._group_of[there]
        of_firings = self._group_of[places - self.text.held_out.begin]
        # Firings and other places where it holds are counted in one go.
        both = np.bincount(2 * of_there + (own > 0), minlength=2 * self._groups).reshape(-1, 2)
        return np.stack(
            [
                both[:, 1].astype(np.float64),
                both.sum(axis=1).astype(np.float64),
                self._summed(of_firings),
                self._summed(of_there, own),
                self._summed(of_firings, exact),
                self._summed(of_firings, exact**2),
                self._tokens,
            ]
        )


def _left_out(sums: _Sums) -> _Sums:
    """The sums over all groups, then those without each of them, [..., 1 + groups]."""
    total = sums.sum(axis=1, keepdims=True)
    return np.concatenate([total, total - sums], axis=1)


def _figure(
    formula: Callable[[_Sums], _Sums], sums: _Sums, least: float = 0.0, most: float = 1.0
) -> RuleFigure:
    """A formula of sums as `_left_out` gives them, with its interval over the groups."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = formula(sums)
    value = float(values[0])
    if not math.isfinite(value):
        return RuleFigure(None)
    ends = interval(value, values[1:], least)
    if ends is None:
        return RuleFigure(value)
    return RuleFigure(value, ends[0], min(most, ends[1]))


def _f1(sums: _Sums) -> _Sums:
    share: _Sums = 2 * sums[_HITS] / (sums[_COVERED] + sums[_FIRINGS])
    return share


def _precision(sums: _Sums) -> _Sums:
    share: _Sums = sums[_HITS] / sums[_COVERED]
    return share


def _recall(sums: _Sums) -> _Sums:
    share: _Sums = sums[_HITS] / sums[_FIRINGS]
    return share


def _correlation(sums: _Sums) -> _Sums:
    n, covered, total = sums[_TOKENS], sums[_COVERED], sums[_SUM]
    joint = n * sums[_COVERED_SUM] - covered * total
    spread = (n * covered - covered**2) * (n * sums[_SQUARES] - total**2)
    correlation: _Sums = joint / np.sqrt(spread)
    return correlation
