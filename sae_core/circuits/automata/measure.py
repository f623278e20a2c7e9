"""What is measured of a pair of features in a text; `mining` says what each figure is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from sae_core.circuits.automata.text import FiringText, Numbers
from sae_core.evaluation.document_sums import interval

OWN = 5
"""Firings on a token from which on it can be a token of a feature."""
TIMES = 2.0
"""How many times as often as anywhere a feature fires on its tokens."""
_NOTHING = 1e-9  # firings: what is less is rounding alone


@dataclass(frozen=True)
class TextFirings:
    """The text, sorted by feature: feature f fires at `places[starts[f]:starts[f + 1]]`."""

    places: Numbers
    starts: Numbers

    @classmethod
    def of_text(cls, text: FiringText, d_sae: int) -> TextFirings:
        """Those of a text."""
        order = np.argsort(text.features, kind="stable")
        starts = np.searchsorted(text.features[order], np.arange(d_sae + 1))
        return cls(text.at[order], starts)

    def of(self, feature: int) -> Numbers:
        """The places where a feature fires, ascending."""
        return self.places[self.starts[feature] : self.starts[feature + 1]]


def mechanisms(
    text: FiringText, written: Numbers, weights: NDArray[np.floating]
) -> sparse.csr_matrix:
    """Part of each feature's written weight that lies on tokens of each, [d_sae, d_sae]."""
    d_sae, k = written.shape
    at = text.at
    d_vocab = int(max(text.tokens.max(initial=0), written.max(initial=0))) + 1
    counts = np.maximum(np.bincount(text.tokens, minlength=d_vocab), 1)
    rates = np.bincount(text.features, minlength=d_sae) / max(1, len(text.tokens))
    # Only the tokens that somebody writes are needed.
    used = np.zeros(d_vocab, dtype=bool)
    used[written[weights > 0]] = True
    some = used[text.tokens[at]]
    on_token = (
        sparse.coo_matrix(
            (
                np.ones(int(some.sum()), dtype=np.int32),
                (text.tokens[at[some]], text.features[some]),
            ),
            shape=(d_vocab, d_sae),
        )
        .tocsr()
        .tocoo()
    )
    own = (on_token.data >= OWN) & (
        on_token.data >= TIMES * counts[on_token.row] * rates[on_token.col]
    )
    of_feature = sparse.csr_matrix(
        (np.ones(int(own.sum())), (on_token.row[own], on_token.col[own])), shape=(d_vocab, d_sae)
    )
    total = np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    writes = sparse.csr_matrix(
        (
            (weights / total).reshape(-1),
            (np.repeat(np.arange(d_sae), k), np.maximum(written, 0).reshape(-1)),
        ),
        shape=(d_sae, d_vocab),
    )
    return (writes @ of_feature).tocsr()


class Measure:
    """What is measured of a pair; what concerns the source alone is kept while it is the same."""

    def __init__(
        self,
        text: FiringText,
        firings: TextFirings,
        written: Numbers,
        weights: NDArray[np.floating],
    ) -> None:
        self._text = text
        self._firings = firings
        self._written = written
        self._weights = weights
        _, self._documents = np.unique(text.documents, return_inverse=True)
        self._n_documents = int(self._documents.max(initial=-1)) + 1
        followed = text.followed_places
        self._n_followed = int(followed.sum())
        self._d_vocab = int(max(text.tokens.max(initial=0), written.max(initial=0))) + 1
        self._of_token = np.maximum(np.bincount(text.tokens[followed], minlength=self._d_vocab), 1)
        self._source = -1

    def _take(self, source: int) -> None:
        text = self._text
        places = self._firings.of(source)
        self._places = places[text.followed_places[places]]
        self._fires = np.zeros(len(text.tokens), dtype=bool)
        self._fires[self._places] = True
        self._writes = np.zeros(self._d_vocab, dtype=bool)
        self._writes[self._written[source][self._weights[source] > 0]] = True
        self._by_document = self._per_document(self._places)
        self._source = source

    def _per_document(
        self, places: Numbers, weights: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        counted = np.bincount(self._documents[places], weights, minlength=self._n_documents)
        return counted.astype(np.float64)

    def of(self, source: int, target: int) -> dict[str, Any]:
        """The figures of one pair but its mechanism and its corrected p."""
        if source != self._source:
            self._take(source)
        text = self._text
        # Places before the target's firings, a written token between: with or without the source.
        before = self._firings.of(target) - 1
        before = before[before >= 0]
        before = before[text.followed_places[before]]
        base = len(before) / max(1, self._n_followed)
        before = before[self._writes[text.tokens[before + 1]]]
        chance = np.bincount(text.tokens[before], minlength=self._d_vocab) / self._of_token
        steps = before[self._fires[before]]
        happened = self._per_document(steps)
        expected = self._per_document(self._places, chance[text.tokens[self._places]])
        n, support = len(self._places), len(steps)
        share = support / max(1, n)
        ends = interval(share, _left_out(happened, self._by_document), 0.0)
        low, high = ends or (np.nan, np.nan)
        kinds, times = np.unique(text.tokens[steps + 1], return_counts=True)
        order = np.argsort(-times, kind="stable")
        return {
            "source": source,
            "target": target,
            "support": support,
            "documents": int((happened > 0).sum()),
            "firings": n,
            "share": share,
            "low": float(low),
            "high": float(min(1.0, high)),
            "base": base,
            "lift": share / base if base else 0.0,
            "beyond": float(support / expected.sum()) if expected.sum() else 0.0,
            "p": _p(happened - expected),
            "tokens": tuple(zip(kinds[order].tolist(), times[order].tolist(), strict=True)),
        }


def _left_out(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part over whole without each document that has any of the whole."""
    some = whole > 0
    rest = whole.sum() - whole[some]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((part.sum() - part[some]) / rest)


def _p(excess: NDArray[np.float64]) -> float:
    """One-sided p of a sum of independent excesses that is expected to be 0."""
    squares = np.where(np.abs(excess) < _NOTHING, 0.0, excess) ** 2
    total = float(squares.sum())
    if total == 0:
        return 1.0
    freedom = max(1.0, total**2 / float((squares**2).sum()) - 1.0)
    return float(special.stdtr(freedom, -float(excess.sum()) / np.sqrt(total)))
