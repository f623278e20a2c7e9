"""How well a predicate says where a feature fires, in documents that it was not learnt from.

Every figure is a function of sums over documents; its interval is the jackknife's over documents
(`sae_core/evaluation/document_sums.py`). Where there are very many documents, groups of them are
left out instead, which gives the same interval but for chance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sae_core.evaluation.document_sums import interval
from sae_core.rules.places import RuleText
from sae_core.rules.predicate import Predicate
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
        self._group_of = half.documents % max(1, self._groups)
        self._tokens = np.bincount(self._group_of, minlength=self._groups).astype(np.float64)
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
        sums = self._sums(predicate, places, values)
        total = sums.sum(axis=1)
        return RuleTest(
            f1=_figure(_f1, sums),
            precision=_figure(_precision, sums, most=1.0),
            recall=_figure(_recall, sums, most=1.0),
            correlation=_figure(_correlation, sums, least=-1.0, most=1.0),
            firings=int(total[_FIRINGS]),
            covered=int(total[_COVERED]),
        )

    def f1(self, predicate: Predicate, places: NDArray[np.int64]) -> RuleFigure:
        """The F1 score of a predicate alone, with its interval."""
        return _figure(_f1, self._sums(predicate, places, np.ones(len(places), np.float32)))

    def score(self, predicate: Predicate, places: NDArray[np.int64]) -> float:
        """The F1 score alone."""
        half = self.text.held_out
        there = self.text.predicate_places(predicate, half) - half.begin
        at = places - half.begin
        self._activations[at] = 1
        hits = float(np.count_nonzero(self._activations[there]))
        self._activations[at] = 0
        return 2 * hits / max(1, len(there) + len(at))

    def _sums(
        self, predicate: Predicate, places: NDArray[np.int64], values: NDArray[np.float32]
    ) -> _Sums:
        """The sums of each group of documents, float64 [7, groups]."""
        half = self.text.held_out
        at = places - half.begin
        there = self.text.predicate_places(predicate, half) - half.begin
        self._activations[at] = values
        own = self._activations[there].astype(np.float64)
        self._activations[at] = 0
        of_there, of_firings = self._group_of[there], self._group_of[at]
        exact = values.astype(np.float64)

        def summed(groups: NDArray[np.int64], weights: NDArray[np.float64] | None = None) -> _Sums:
            return np.bincount(groups, weights, self._groups).astype(np.float64)

        return np.stack(
            [
                summed(of_there[own > 0]),
                summed(of_there),
                summed(of_firings),
                summed(of_there, own),
                summed(of_firings, exact),
                summed(of_firings, exact**2),
                self._tokens,
            ]
        )


def _figure(
    formula: Callable[[_Sums], _Sums], sums: _Sums, least: float = 0.0, most: float = 1.0
) -> RuleFigure:
    """A formula of sums [7, ...] with its interval over the groups."""
    total = sums.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(formula(total[:, None])[0])
        if not np.isfinite(value):
            return RuleFigure(None)
        ends = interval(value, formula(total[:, None] - sums), least)
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
