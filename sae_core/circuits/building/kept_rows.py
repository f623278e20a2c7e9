"""Rows of edges that are kept while a graph grows, and what flows through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class _Rows:
    """Rows of targets of one level.

    Attributes:
        owners: column of each row's target; -1 for a logit, int64 [n].
        weights: as a target of the graph, float64 [n].
        sums: of each row's absolute values, all columns, float64 [n].
        values: float32 [n, width].
        columns: which these are, int32 [n, width]; None: all of them.
    """

    owners: NDArray[np.int64]
    weights: NDArray[np.float64]
    sums: NDArray[np.float64]
    values: Numbers
    columns: NDArray[np.int32] | None


@dataclass(frozen=True)
class Strongest:
    """Edges that carry most.

    Attributes:
        source: columns, int32 [m].
        row: rows that they lead into, numbered from the highest level down, int32 [m].
        weight: float32 [m].
        carried: influence of all of them together.
        whole: influence of all edges that there are.
    """

    source: NDArray[np.int32]
    row: NDArray[np.int32]
    weight: Numbers
    carried: float
    whole: float


@dataclass
class KeptRows:
    """Rows by level; where memory does not reach, each row's strongest edges only.

    Attributes:
        n_columns: of a whole row.
        width: edges that are kept of each row, at most `n_columns`.
        n_edges: all that were not zero.
    """

    n_columns: int
    width: int
    n_edges: int = 0
    _levels: dict[int, list[_Rows]] = field(default_factory=dict)

    def add(
        self,
        values: Numbers,
        owners: NDArray[np.int64],
        levels: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> None:
        """Keep the rows of some targets.

        Args:
            values: float32 [n, n_columns].
            owners: the targets' own columns, -1 for logits.
            levels: in which order the model computes them.
            weights: as targets of the graph.
        """
        self.n_edges += int(np.count_nonzero(values))
        sums = np.abs(values).sum(axis=1, dtype=np.float64)
        for level in np.unique(levels):
            own = levels == level
            rows, columns = values[own], None
            if self.width < self.n_columns:
                order = np.argpartition(-np.abs(rows), self.width - 1, axis=1)[:, : self.width]
                columns = np.sort(order, axis=1).astype(np.int32)
                rows = np.take_along_axis(rows, columns, axis=1)
            kept = _Rows(owners[own], weights[own], sums[own], rows, columns)
            self._levels.setdefault(int(level), []).append(kept)

    def influence(self) -> NDArray[np.float64]:
        """What reaches each column from the targets through the rows so far, [n_columns]."""
        reaching = np.zeros(self.n_columns)
        for level in sorted(self._levels, reverse=True):
            for rows in self._levels[level]:
                flow = self._flow(rows, reaching)
                share = (flow / np.maximum(rows.sums, 1e-10)).astype(np.float32)
                if rows.columns is None:
                    reaching += share @ np.abs(rows.values)
                else:
                    size = share[:, None] * np.abs(rows.values)
                    reaching += np.bincount(
                        rows.columns.ravel(), size.ravel(), minlength=self.n_columns
                    )
        return reaching

    @staticmethod
    def _flow(rows: _Rows, reaching: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = rows.owners >= 0
        return rows.weights + np.where(inside, reaching[np.where(inside, rows.owners, 0)], 0.0)

    def strongest(
        self, kept: NDArray[np.bool_], reaching: NDArray[np.float64], most: int
    ) -> Strongest:
        """The edges from kept columns that carry most.

        Args:
            kept: which columns, bool [n_columns].
            reaching: influence of columns, as `influence` gives it.
            most: how many edges, at most.
        """
        blocks: list[tuple[NDArray[Any], ...]] = []
        done, waiting, whole = 0, 0, 0.0
        for level in sorted(self._levels, reverse=True):
            for rows in self._levels[level]:
                flow = self._flow(rows, reaching)
                whole += float(flow[rows.sums > 0].sum())
                columns = None if rows.columns is None else kept[rows.columns]
                chosen = (kept[None] if columns is None else columns) & (rows.values != 0)
                at, place = chosen.nonzero()
                source = place if rows.columns is None else rows.columns[at, place]
                weight = rows.values[chosen]
                carried = (flow / np.maximum(rows.sums, 1e-10))[at] * np.abs(weight)
                blocks.append(
                    (source.astype(np.int32), (at + done).astype(np.int32), weight, carried)
                )
                done, waiting = done + len(rows.values), waiting + len(at)
                if waiting > 2 * most:
                    blocks = [_most(blocks, most)]
                    waiting = most
        source, row, weight, carried = _most(blocks, most)
        return Strongest(source, row, weight, float(carried.sum()), whole)

    def owners(self) -> NDArray[np.int64]:
        """The column of each row's target, numbered as `strongest` numbers rows; -1 for logits."""
        parts = [
            rows.owners
            for level in sorted(self._levels, reverse=True)
            for rows in self._levels[level]
        ]
        return np.concatenate(parts)


def _most(blocks: Sequence[tuple[NDArray[Any], ...]], most: int) -> tuple[NDArray[Any], ...]:
    """Columns put together, and of their rows those of the largest last column, in order."""
    columns = tuple(np.concatenate(column) for column in zip(*blocks, strict=True))
    if len(columns[-1]) <= most:
        return columns
    kept = np.sort(np.argsort(-columns[-1], kind="stable")[:most])
    return tuple(column[kept] for column in columns)
