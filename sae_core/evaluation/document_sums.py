"""Sums kept apart for each document, and 95 % intervals of what is computed from them.

Tokens of one document resemble each other, so the document is the unit: every figure of an
evaluation is a ratio of sums over documents (the ratio estimator, Cochran 1977, chapter 6), and its
interval is the expanded percentile bootstrap over whole documents (Hesterberg 2014,
arXiv:1411.5279): as many documents as there are, drawn with replacement, the ratio of their sums,
`N_RESAMPLES` times; the interval runs between two percentiles of these, 2.5 and 97.5 for very many
documents and further out for few, so far that for a mean it agrees with Student's t.

In simulations of 400 texts of n documents, their lengths lognormal with a spread of e, 95 %
intervals held the truth in 92 % of the texts for n = 5, 93 % for 10, 91 % for 20, 92 % for 40 and
96 % for 100; plain percentiles in 80, 87, 89, 91 and 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special

N_RESAMPLES = 2_000
FEWEST_DOCUMENTS = 5
LEVEL = 0.95
_SEED = 0

Totals = Mapping[str, NDArray[np.float64]]


class DocumentSums:
    """Sums of several quantities for each of n documents, float64.

    A quantity has one place or several (one for each position or band). Memory: 8 bytes a document
    and place.

    Args:
        n_documents: how many documents there are.
        places: how many places each quantity has.
    """

    def __init__(self, n_documents: int, places: Mapping[str, int]) -> None:
        self.n_documents = n_documents
        ends = np.cumsum([0, *places.values()]).tolist()
        self._places = {name: slice(*at) for name, *at in zip(places, ends, ends[1:], strict=False)}
        self._table = np.zeros((n_documents, ends[-1]))

    def add(
        self,
        name: str,
        documents: NDArray[np.int64],
        values: NDArray[np.floating] | float,
        places: NDArray[np.int64] | int = 0,
    ) -> None:
        """Add to the sums of a quantity.

        Args:
            name: the quantity.
            documents: number of the document that each value belongs to, int64 [n].
            values: what is added, [n], or one number for all.
            places: which place of the quantity each value belongs to, [n], or one for all.
        """
        n_columns = self._table.shape[1]
        index: NDArray[np.int64] = documents * n_columns + self._places[name].start + places
        np.add.at(self._table.reshape(-1), index, values)

    def totals(self) -> Totals:
        """The sums over all documents, [places] each; a bare number where there is one place."""
        return self._named(self._table.sum(axis=0))

    def resampled(self) -> Totals:
        """The sums over documents drawn with replacement, [N_RESAMPLES, places] or [N_RESAMPLES].

        The draw is the same every time.
        """
        draw = np.random.default_rng(_SEED)
        n = self.n_documents
        drawn = np.empty((N_RESAMPLES, self._table.shape[1]))
        for row in drawn:
            row[:] = np.bincount(draw.integers(0, n, n), minlength=n) @ self._table
        return self._named(drawn)

    def _named(self, sums: NDArray[np.float64]) -> Totals:
        """Sums [..., all places] by quantity; without a last axis where it has one place."""
        columns = {name: sums[..., at] for name, at in self._places.items()}
        return {name: s[..., 0] if s.shape[-1] == 1 else s for name, s in columns.items()}


def interval(resampled: NDArray[np.float64], n_documents: int) -> tuple[float, float] | None:
    """The 95 % interval of a figure from its values in all resamples [N_RESAMPLES].

    Resamples without a value (no drawn document has one) are left out. None: there are fewer than
    `FEWEST_DOCUMENTS` documents, or the figure is not finite somewhere.
    """
    values = resampled[~np.isnan(resampled)]
    if n_documents < FEWEST_DOCUMENTS or not len(values) or not np.isfinite(values).all():
        return None
    tail = expanded_tail(n_documents)
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def expanded_tail(n_documents: int) -> float:
    """The share of resamples on each side of an interval: Phi(sqrt(n / (n - 1)) t), with t the
    2.5 % quantile of Student's distribution with n - 1 degrees of freedom."""
    freedom = n_documents - 1
    t = special.stdtrit(freedom, (1 - LEVEL) / 2)
    return float(special.ndtr(np.sqrt(n_documents / freedom) * t))
