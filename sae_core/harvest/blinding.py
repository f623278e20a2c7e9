"""What a rater is shown of a feature who must not know whose it is.

Nothing here depends on the scale of a feature, on its index, on how often it fires, or on what its
dictionary is called: a feature and a neuron with the same contexts and the same tokens give the
same sheet.

- In each context one token is marked: the one that it was drawn for. Neurons fire on two tokens of
  five, sparse features on one of thirty; with every firing marked, the share of marked tokens alone
  tells them apart in 98 of 100 pairs, and no threshold that leaves anything to see helps much.
  `every_mark` shows them all the same, as studies do that trust their raters.
- Activations are bands of the feature's own maximum, 1 (weakest) to 11, not numbers; where all are
  marked, the lowest band is not, as neurons are a little above 0 nearly everywhere.
- Of each feature equally many contexts are taken: the strongest, and a few of each of four parts of
  the range, from its bands in turn; eleven bands by themselves are often empty for rare features
  alone. The weakest contexts of a harvest are left out, because their smallness tells a neuron.
- Logit weights are shares of the largest: a neuron's direction has another length.
- Names of documents, numbers of windows and histograms are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.harvest.records import (
    N_BANDS,
    ExampleGroup,
    FeatureRecord,
    GroupKind,
    Ranking,
    WindowRecord,
)

N_STRONGEST = 8
N_PER_PART = 4
PARTS = ((9, 11), (6, 8), (3, 5), (1, 2))
"""Of the range, by their lowest and highest bands."""
BEFORE, AFTER = 24, 16  # tokens around the peak
LOWEST = 1
"""The band of which only peaks are marked."""


@dataclass(frozen=True)
class BlindContext:
    """The surroundings of one firing.

    Attributes:
        tokens: in order, int64 [n].
        bands: of each token 1 (weakest) to 11, 0 where nothing is marked, int64 [n].
        peak: place of the token that the context was drawn for.
    """

    tokens: NDArray[np.int64]
    bands: NDArray[np.int64]
    peak: int


@dataclass(frozen=True)
class BlindGroup:
    """Contexts of one part of the range of activation.

    Attributes:
        lowest: band of the part; 0: these are the strongest of all.
        highest: likewise.
        contexts: at most `N_PER_PART`, or `N_STRONGEST`.
    """

    lowest: int
    highest: int
    contexts: tuple[BlindContext, ...]

    @property
    def low(self) -> float:
        """Lower end, as a share of the feature's maximum."""
        return (self.lowest - 1) / N_BANDS

    @property
    def high(self) -> float:
        """Upper end."""
        return self.highest / N_BANDS


@dataclass(frozen=True)
class BlindSheet:
    """A feature as a rater sees it.

    Attributes:
        groups: the strongest contexts, then those of the four parts of the range, downwards.
        raised: tokens whose logits it raises most, with their weight as a share of the largest.
        lowered: those it lowers most; shares below 0.
    """

    groups: tuple[BlindGroup, ...]
    raised: tuple[tuple[int, float], ...]
    lowered: tuple[tuple[int, float], ...]


def blind_sheet(
    record: FeatureRecord, windows: Mapping[int, WindowRecord], every_mark: bool = False
) -> BlindSheet:
    """What is shown of a feature.

    Args:
        record: as harvested.
        windows: those that its examples point to, by number.
        every_mark: whether all firings of a context are marked, not only the one it was drawn for.
    """
    drawer = _Drawer(record, windows, every_mark)
    bands = {group.number + 1: group for group in record.groups if group.kind is GroupKind.BAND}
    top = [group for group in record.groups if group.kind is GroupKind.TOP]
    groups = [BlindGroup(0, 0, drawer.draw(top, N_STRONGEST))]
    for lowest, highest in PARTS:
        inside = [bands[band] for band in range(highest, lowest - 1, -1) if band in bands]
        groups.append(BlindGroup(lowest, highest, drawer.draw(inside, N_PER_PART)))
    weights = np.concatenate([record.raised.weights, record.lowered.weights])
    largest = float(np.abs(weights).max(initial=0.0))
    return BlindSheet(
        tuple(groups), _shares(record.raised, largest), _shares(record.lowered, largest)
    )


class _Drawer:
    """Takes contexts of a feature, none twice."""

    def __init__(
        self, record: FeatureRecord, windows: Mapping[int, WindowRecord], every_mark: bool
    ) -> None:
        self._record, self._windows, self._every_mark = record, windows, every_mark
        self._shown: set[tuple[int, int]] = set()

    def draw(self, groups: list[ExampleGroup], most: int) -> tuple[BlindContext, ...]:
        """The first of each group, then the second of each, and so on, as many as are wanted."""
        drawn: list[BlindContext] = []
        longest = max((len(group.examples) for group in groups), default=0)
        for rank in range(longest):
            for group in groups:
                if len(drawn) < most and rank < len(group.examples):
                    drawn += self._context(group, rank)
        return tuple(drawn)

    def _context(self, group: ExampleGroup, i: int) -> list[BlindContext]:
        """An example of a group; nothing where it was drawn before."""
        examples = group.examples
        number, peak = int(examples.windows[i]), int(examples.peaks[i])
        if (number, peak) in self._shown or number not in self._windows:
            return []
        self._shown.add((number, peak))
        inside = slice(int(examples.bounds[i]), int(examples.bounds[i + 1]))
        values = examples.values[inside].astype(np.float64)
        bands = np.ceil(N_BANDS * values / self._record.maximum).clip(1, N_BANDS).astype(np.int64)
        places = examples.positions[inside].astype(np.int64)
        marked = places == peak
        if self._every_mark:
            marked |= bands > LOWEST
        tokens = self._windows[number].tokens
        marks = np.zeros(len(tokens), np.int64)
        marks[places[marked]] = bands[marked]
        begin = max(0, peak - BEFORE)
        cut = slice(begin, peak + AFTER + 1)
        return [BlindContext(tokens[cut], marks[cut], peak - begin)]


def _shares(ranking: Ranking, largest: float) -> tuple[tuple[int, float], ...]:
    """Tokens with weights in whole percents of the largest."""
    if largest <= 0:
        return ()
    shares = np.round(ranking.weights.astype(np.float64) / largest, 2).tolist()
    return tuple(zip(ranking.ids.tolist(), shares, strict=True))
