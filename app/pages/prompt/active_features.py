"""The features that fire on a prompt, and the orders that a reader may want them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.pages.prompt.query import FeatureName
from app.store.types.catalogue import FeatureScales
from app.worker.client.readings import PromptFirings

RARITY = "share of the feature's maximum × −log₁₀ of its density"
"""How `rarity` is computed, in words."""


@dataclass(frozen=True)
class ActiveFeatures:
    """Every feature that fires on a prompt, column by column, over all dictionaries that were read.

    Attributes:
        names: the names of the dictionaries.
        firings: where each dictionary fires on the prompt, and how strongly.
        dictionary: place of the feature's dictionary among `names`, int64 [n].
        feature: its index there, int64 [n].
        maximum: largest activation on the prompt (or on one of its tokens), float64 [n].
        total: sum of its activations there, float64 [n].
        peak: position of the largest activation, int64 [n].
        density: share of the harvest's tokens on which it fires, float64 [n].
        share: `maximum` as a share of its largest activation in the harvest, or on the prompt for
            a feature that never fired there, float64 [n].
        rarity: share x -log10 density, float64 [n]. A feature that never fired in the harvest
            counts as having fired on half a token of it.
    """

    names: tuple[str, ...]
    firings: tuple[PromptFirings, ...]
    dictionary: NDArray[np.int64]
    feature: NDArray[np.int64]
    maximum: NDArray[np.float64]
    total: NDArray[np.float64]
    peak: NDArray[np.int64]
    density: NDArray[np.float64]
    share: NDArray[np.float64]
    rarity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.feature)

    def name(self, row: int) -> FeatureName:
        """What addresses call the feature of a row."""
        return FeatureName(self.names[int(self.dictionary[row])], int(self.feature[row]))

    def row(self, feature: FeatureName) -> int | None:
        """The row of a feature; None where it does not fire."""
        return self._rows.get(feature)

    @cached_property
    def _rows(self) -> dict[FeatureName, int]:
        return {self.name(row): row for row in range(len(self))}

    @property
    def shares(self) -> dict[FeatureName, float]:
        """The share of each feature, for the comparison with another prompt."""
        return {self.name(row): share for row, share in enumerate(self.share.tolist())}

    def where(self, row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Positions and activations of the feature of a row on the whole prompt."""
        return self.firings[int(self.dictionary[row])].of(int(self.feature[row]))

    def ordered(self, key: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows from the largest key to the smallest, unknown ones last; equal ones by dictionary
        and index."""
        return np.lexsort((self.feature, self.dictionary, -np.nan_to_num(key, nan=-np.inf)))


def active_features(
    names: Sequence[str],
    firings: Sequence[PromptFirings],
    scales: Sequence[FeatureScales],
    token: int | None = None,
) -> ActiveFeatures:
    """The features that fire on a prompt, or on one token of it.

    Args:
        names: the names of the dictionaries.
        firings: where each dictionary fires on the prompt.
        scales: how often and how strongly the features of each fire in its harvest.
        token: position; only what fires there counts. None: the whole prompt.
    """
    parts = [
        _of_dictionary(place, fired, scale, token)
        for place, (fired, scale) in enumerate(zip(firings, scales, strict=True))
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return ActiveFeatures(tuple(names), tuple(firings), *columns)


def effects_column(
    features: ActiveFeatures, effects: Mapping[FeatureName, float]
) -> NDArray[np.float64]:
    """The effect of each active feature, NaN where it is not known, float64 [n]."""
    known = [effects.get(features.name(row), np.nan) for row in range(len(features))]
    return np.array(known, dtype=np.float64)


def _of_dictionary(
    place: int, firings: PromptFirings, scales: FeatureScales, token: int | None
) -> tuple[NDArray[np.generic], ...]:
    """The columns of `ActiveFeatures` for one dictionary."""
    positions, features, values = firings.positions, firings.features, firings.values
    # The scale of each feature; one that never fired in the harvest is measured by this prompt.
    ever, unheard = scales.maxima.copy(), scales.maxima[features] == 0
    np.maximum.at(ever, features[unheard], values[unheard])
    if token is not None:
        here = positions == token
        positions, features, values = positions[here], features[here], values[here]
    # By feature, its strongest firing first, of equal ones the earliest
    order = np.lexsort((positions, -values, features))
    positions, features, values = positions[order], features[order], values[order]
    index, starts = np.unique(features, return_index=True)
    index = index.astype(np.int64)
    # One row a feature.
    maximum = values[starts].astype(np.float64)
    total = np.add.reduceat(values, starts, dtype=np.float64) if len(starts) else maximum
    fired, n_tokens = scales.firings[index], max(1, scales.n_tokens)
    share = maximum / ever[index]
    surprise = -np.log10(np.maximum(fired, 0.5) / n_tokens)
    return (
        np.full(len(index), place, dtype=np.int64),
        index,
        maximum,
        total,
        positions[starts].astype(np.int64),
        fired / n_tokens,
        share,
        share * np.maximum(surprise, 0.0),
    )
