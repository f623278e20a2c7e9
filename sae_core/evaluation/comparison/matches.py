"""For each feature the one of another dictionary that is most like it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE = -1


@dataclass(frozen=True)
class Matches:
    """The match of each feature.

    Attributes:
        indices: the other dictionary's feature, int64 [n]; `NONE` where there is none.
        values: how alike they are, cosine or correlation, float64 [n]; nan where there is none.
    """

    indices: NDArray[np.int64]
    values: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which features have a match, [n]."""
        return np.asarray(self.indices != NONE)

    def rounded(self) -> Matches:
        """The same as it is stored: values in float32."""
        return Matches(self.indices, self.values.astype(np.float32).astype(np.float64))


class BestMatches:
    """The best match of every row and of every column of a table that is seen in blocks of rows.

    Of equal values the one with the lower index counts.

    Args:
        n_rows: features of the first dictionary.
        n_columns: features of the second.
    """

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self._rows = Matches(np.full(n_rows, NONE), np.full(n_rows, np.nan))
        self._columns = Matches(np.full(n_columns, NONE), np.full(n_columns, -np.inf))

    def see(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        table: NDArray[np.floating],
    ) -> None:
        """Look at some rows, given with ascending indices from block to block.

        Args:
            rows: features of the first dictionary, int64 [r].
            columns: features of the second, int64 [c], c > 0.
            table: how alike they are, [r, c].
        """
        best = table.argmax(axis=1)
        self._rows.indices[rows] = columns[best]
        self._rows.values[rows] = table[np.arange(len(rows)), best]
        best = table.argmax(axis=0)
        values = table[best, np.arange(len(columns))]
        better = values > self._columns.values[columns]
        self._columns.indices[columns[better]] = rows[best[better]]
        self._columns.values[columns[better]] = values[better]

    @property
    def rows(self) -> Matches:
        """The best match of each feature of the first dictionary."""
        return self._rows

    @property
    def columns(self) -> Matches:
        """The best match of each feature of the second dictionary."""
        values = np.where(self._columns.indices == NONE, np.nan, self._columns.values)
        return Matches(self._columns.indices, values)


def mutual(forth: Matches, back: Matches) -> Matches:
    """One to one where both are each other's best match; all others have none.

    Args:
        forth: best matches of the first dictionary's features, [n].
        back: of the second's, [m].

    Returns:
        For the features of the first, [n].
    """
    here = np.arange(len(forth.indices))
    returned = np.where(forth.known, back.indices[np.maximum(forth.indices, 0)], NONE)
    both = forth.known & (returned == here)
    return Matches(np.where(both, forth.indices, NONE), np.where(both, forth.values, np.nan))


def turned(matches: Matches, n: int) -> Matches:
    """A pairing one to one, seen from the other dictionary, which has n features."""
    indices, values = np.full(n, NONE), np.full(n, np.nan)
    paired = np.flatnonzero(matches.known)
    indices[matches.indices[paired]] = paired
    values[matches.indices[paired]] = matches.values[paired]
    return Matches(indices, values)
