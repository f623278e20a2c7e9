"""Levels of several groups of texts over one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sae_core.audit.monitors.monitor import Numbers
from sae_core.errors import MonitorError

BINS = 40


@dataclass(frozen=True)
class LevelHistogram:
    """How many texts have which level.

    Attributes:
        edges: of the bins, ascending, [bins + 1]; the last bin holds its upper edge, too.
        counts: of each group, [groups][bins]; levels of exactly 0 are left out.
        zero: texts of each group whose level is exactly 0, [groups].
    """

    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    zero: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Lists and numbers."""
        return asdict(self)


def level_histogram(groups: Sequence[Numbers]) -> LevelHistogram:
    """Levels of some groups of texts, [n] each, in bins of equal width over all of them."""
    other = [levels[levels != 0] for levels in groups]
    every = np.concatenate([*other, np.zeros(1)])
    low, high = float(every.min()), float(every.max())
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    return LevelHistogram(
        edges=tuple(edges.tolist()),
        counts=tuple(tuple(np.histogram(levels, edges)[0].tolist()) for levels in other),
        zero=tuple(int((levels == 0).sum()) for levels in groups),
    )


def histogram_of(value: Mapping[str, Any]) -> LevelHistogram:
    """What `as_json` made, checked.

    Raises:
        MonitorError: it is something else.
    """
    try:
        made = LevelHistogram(
            edges=tuple(map(float, value["edges"])),
            counts=tuple(tuple(map(int, counts)) for counts in value["counts"]),
            zero=tuple(map(int, value["zero"])),
        )
        if len(made.zero) != len(made.counts) or any(
            len(counts) + 1 != len(made.edges) for counts in made.counts
        ):
            raise ValueError("columns differ in length")
    except (KeyError, TypeError, ValueError) as error:
        raise MonitorError("This is no histogram of levels, or it is damaged.") from error
    return made
