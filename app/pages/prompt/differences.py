"""Two prompts side by side: features gained, lost, stronger, weaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.pages.prompt.query import FeatureName

Kind = Literal["gained", "lost", "stronger", "weaker"]
KINDS: tuple[Kind, ...] = ("gained", "lost", "stronger", "weaker")
SAME = 0.001
"""Shares of the maximum that differ by less count as equal."""

Shares = Mapping[FeatureName, float]
"""Largest activation of each feature that fires, as a share of that in the harvest."""


@dataclass(frozen=True)
class Difference:
    """A feature that differs between two prompts.

    Attributes:
        kind: gained, lost, stronger or weaker.
        dictionary: name of its dictionary.
        index: the number of the feature in its dictionary.
        change: of its largest activation from the first prompt to the second, as a share of that
            in the harvest.
    """

    kind: Kind
    dictionary: str
    index: int
    change: float

    @property
    def feature(self) -> FeatureName:
        """What addresses call it."""
        return FeatureName(self.dictionary, self.index)


def compare(
    dictionaries: Sequence[str], first: Shares, second: Shares
) -> dict[Kind, list[Difference]]:
    """Every feature that differs between two prompts, by kind, largest change first.

    A feature that fires equally strongly on both is in no list; equal changes are ordered by
    dictionary and index.

    Args:
        dictionaries: names of those with which both prompts were read.
        first: what fires on the first prompt.
        second: what fires on the second.
    """
    places = {name: place for place, name in enumerate(dictionaries)}
    differences: dict[Kind, list[Difference]] = {kind: [] for kind in KINDS}
    for name in sorted(
        first.keys() | second.keys(), key=lambda name: (places[name.dictionary], name.index)
    ):
        change = second.get(name, 0.0) - first.get(name, 0.0)
        kind = _kind(name in first, name in second, change)
        if kind is not None:
            differences[kind].append(Difference(kind, name.dictionary, name.index, change))
    for of_kind in differences.values():
        of_kind.sort(key=lambda difference: -abs(difference.change))
    return differences


def _kind(in_first: bool, in_second: bool, change: float) -> Kind | None:
    """What happened to a feature; None: nothing worth telling."""
    if not in_first:
        return "gained"
    if not in_second:
        return "lost"
    if abs(change) < SAME:
        return None
    return "stronger" if change > 0 else "weaker"
