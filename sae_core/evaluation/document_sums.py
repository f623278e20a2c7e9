"""Sums kept apart for each document, and 95 % intervals of what is computed from them.

Tokens of one document resemble each other, so the document is the unit. Every figure of an
evaluation is a function of sums over documents, mostly a ratio. Without document d it would differ
by j_d; its variance is the jackknife's (Tukey 1958, Efron 1982),

    var = (n - 1) / n * sum j_d^2,

and the interval reaches Student's quantile to either side, for (sum j_d^2)^2 / sum j_d^4 degrees of
freedom (Satterthwaite 1946), at most n - 1: a few documents that hold most of the text tell little,
however many others there are.

`python -m benchmarks.evaluation_intervals` says how often such intervals hold the truth on real
documents, beside a bootstrap's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special

FEWEST_DOCUMENTS = 5
METHOD = "jackknife"
"""What is noted beside intervals of this method; without a note they are a bootstrap's."""

_TAIL = 0.025  # on each side of a 95 % interval

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

    def left_out(self) -> Totals:
        """The sums without each document in turn, [n_documents, places] or [n_documents]."""
        return self._named(self._table.sum(axis=0) - self._table)

    def _named(self, sums: NDArray[np.float64]) -> Totals:
        """Sums [..., all places] by quantity; without a last axis where it has one place."""
        columns = {name: sums[..., at] for name, at in self._places.items()}
        return {name: s[..., 0] if s.shape[-1] == 1 else s for name, s in columns.items()}


def interval(
    figure: float, left_out: NDArray[np.float64], least: float = -np.inf
) -> tuple[float, float] | None:
    """The 95 % interval of a figure.

    Args:
        figure: from the sums over all documents.
        left_out: the figure without each document in turn, [n_documents].
        least: what the figure cannot be below.

    Returns:
        Its ends; None: there are fewer than `FEWEST_DOCUMENTS` documents, or the figure is not
        finite with all of them or without one.
    """
    n = len(left_out)
    if n < FEWEST_DOCUMENTS or not np.isfinite(figure) or not np.isfinite(left_out).all():
        return None
    squares = (left_out - figure) ** 2
    total, fourths = float(squares.sum()), float((squares**2).sum())
    if fourths == 0.0:
        return figure, figure
    freedom = min(n - 1.0, max(1.0, total**2 / fourths))
    reach = -float(special.stdtrit(freedom, _TAIL)) * float(np.sqrt((n - 1) / n * total))
    return max(least, figure - reach), figure + reach
