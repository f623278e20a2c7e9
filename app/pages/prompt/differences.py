"""Two prompts side by side: features gained, lost, stronger, weaker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.pages.prompt.active_features import ActiveFeatures
from app.pages.prompt.query import FeatureName

Kind = Literal["gained", "lost", "stronger", "weaker"]
SAME = 0.001
"""Shares of the maximum that differ by less count as equal."""

KINDS: tuple[Kind, ...] = ("gained", "lost", "stronger", "weaker")


@dataclass(frozen=True)
class Difference:
    """One feature on two prompts.

    Attributes:
        feature: which one.
        first: its row among those active on the first prompt; None: it does not fire there.
        second: likewise for the second.
        change: of its maximum from the first to the second, as a share of its largest activation
            in the harvest.
    """

    feature: FeatureName
    first: int | None
    second: int | None
    change: float

    @property
    def rows(self) -> tuple[int | None, int | None]:
        """Both rows."""
        return self.first, self.second

    @property
    def kind(self) -> Kind:
        """What happened to it."""
        if self.first is None:
            return "gained"
        if self.second is None:
            return "lost"
        return "stronger" if self.change > 0 else "weaker"


def compare(first: ActiveFeatures, second: ActiveFeatures) -> dict[Kind, list[Difference]]:
    """Every feature that differs between two prompts, by kind, largest change first.

    Both were read with the same dictionaries. A feature that fires equally strongly on both is in
    no list.
    """
    assert first.names == second.names
    keys = [_keys(one) for one in (first, second)]
    every = np.unique(np.concatenate(keys))
    rows = [_rows(key, every) for key in keys]
    shares = [_at(one.share, row) for one, row in zip((first, second), rows, strict=True)]
    change = shares[1] - shares[0]
    found: dict[Kind, list[Difference]] = {kind: [] for kind in KINDS}
    for place in np.lexsort((every, -np.abs(change))).tolist():
        if abs(change[place]) < SAME and rows[0][place] >= 0 and rows[1][place] >= 0:
            continue
        at = [int(row[place]) if row[place] >= 0 else None for row in rows]
        here = first.name(at[0]) if at[0] is not None else second.name(at[1] or 0)
        difference = Difference(here, at[0], at[1], float(change[place]))
        found[difference.kind].append(difference)
    return found


def _keys(features: ActiveFeatures) -> NDArray[np.int64]:
    """One ascending number a feature."""
    keys: NDArray[np.int64] = (features.dictionary << 40) + features.feature
    return keys


def _rows(keys: NDArray[np.int64], every: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of each of `every` among `keys`; -1: not there."""
    rows = np.full(len(every), -1, dtype=np.int64)
    rows[np.searchsorted(every, keys)] = np.arange(len(keys))
    return rows


def _at(values: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(rows >= 0, values[rows.clip(min=0)] if len(values) else 0.0, 0.0)
