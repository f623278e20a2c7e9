"""How the features of a small dictionary split in larger ones: a tree of best matches. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sae_core.evaluation.comparison.matches import Matches


@dataclass(frozen=True)
class SplitFeature:
    """A feature in the tree.

    Attributes:
        level: 0 for the root's dictionary, 1 for the next larger one, and so on.
        index: in its dictionary.
        value: how alike it is to its parent, cosine or correlation; nan for the root.
        children: those of the next level whose best match it is, the most alike first.
        more: how many of them are left out.
    """

    level: int
    index: int
    value: float
    children: tuple[SplitFeature, ...]
    more: int

    @property
    def size(self) -> int:
        """Features shown in the tree from here on."""
        return 1 + sum(child.size for child in self.children)


def splitting_tree(
    root: int, levels: Sequence[tuple[Matches, float]], most: Sequence[int]
) -> SplitFeature:
    """The tree of one feature.

    Args:
        root: its index in the smallest dictionary.
        levels: for each larger dictionary the best matches of its features in the one before, and
            the null's threshold, which a child must exceed.
        most: how many children of a feature are shown, for each of the levels.
    """
    return _grown(root, float("nan"), 0, levels, most)


def _grown(
    index: int,
    value: float,
    level: int,
    levels: Sequence[tuple[Matches, float]],
    most: Sequence[int],
) -> SplitFeature:
    if level == len(levels):
        return SplitFeature(level, index, value, (), 0)
    matches, threshold = levels[level]
    own = np.flatnonzero((matches.indices == index) & (matches.values > threshold))
    order = own[np.lexsort((own, -matches.values[own]))].tolist()
    children = tuple(
        _grown(child, float(matches.values[child]), level + 1, levels, most)
        for child in order[: most[level]]
    )
    return SplitFeature(level, index, value, children, len(order) - len(children))
