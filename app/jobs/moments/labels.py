"""How well the last moment's labels, as rules, say where the features of a moment fire."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sae_core.evaluation.comparison.firings import TokenFirings
from sae_core.language_model.vocabulary import Vocabulary
from sae_core.rules.attributes import window_attributes
from sae_core.rules.held_out import HeldOutTester
from sae_core.rules.places import RuleText
from sae_core.rules.predicate import Predicate
from sae_core.text.tokenized import Windows


class LabelScores:
    """Rules of features, tested on half of the documents of a text.

    Args:
        windows: of the corpus.
        order: those that are read, int64 [n].
        vocabulary: of the model.
        predicates: of each feature's rule; None: it has none that is above its null.
    """

    def __init__(
        self,
        windows: Windows,
        order: NDArray[np.int64],
        vocabulary: Vocabulary,
        predicates: Sequence[Predicate | None],
    ) -> None:
        attributes, places = window_attributes(windows, order, vocabulary)
        self._text = RuleText(attributes, 0)
        self._tester = HeldOutTester(self._text)
        flat = places.ravel()
        self._place_of_row = self._text.place_of[flat[flat >= 0]]
        self._predicates = predicates

    def scores(self, firings: TokenFirings, partners: NDArray[np.int64]) -> NDArray[np.float32]:
        """F1 of each feature's rule where its match fires, float32 [n]; nan: no rule, no match.

        Args:
            firings: of a moment's features.
            partners: the match of each of the last moment's features, -1: none.
        """
        scores = np.full(len(partners), np.nan, dtype=np.float32)
        begin, by_feature = self._text.held_out.begin, firings.by_feature
        for feature, partner in enumerate(partners.tolist()):
            predicate = self._predicates[feature]
            if predicate is None or partner < 0:
                continue
            rows = by_feature.indices[by_feature.indptr[partner] : by_feature.indptr[partner + 1]]
            places = np.sort(self._place_of_row[rows])
            scores[feature] = self._tester.score(predicate, places[places >= begin])
        return scores
