"""What a rater is shown of a feature who must not know whose it is.

Nothing here depends on the scale of a feature, on its index, on how often it fires, or on what its
dictionary is called: a feature and a neuron with the same contexts and the same tokens give the
same sheet.

- Activations are bands of the feature's own maximum, 1 (weakest) to 11, not numbers. What lies in
  the lowest band is not marked but where a context was drawn for it: neurons are a little above 0
  nearly everywhere, while features that only the k largest may keep have no such values at all.
- Of each feature equally many contexts are taken: the strongest, and a few of each band. The
  weakest ones of a harvest are left out, because their smallness tells a neuron.
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
    Examples,
    FeatureRecord,
    GroupKind,
    Ranking,
    WindowRecord,
)

N_STRONGEST = 8
N_PER_BAND = 2
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
        band: 1 (weakest) to 11; 0: the strongest of all.
        contexts: at most `N_PER_BAND`, or `N_STRONGEST`.
    """

    band: int
    contexts: tuple[BlindContext, ...]

    @property
    def low(self) -> float:
        """Lower end, as a share of the feature's maximum."""
        return (self.band - 1) / N_BANDS

    @property
    def high(self) -> float:
        """Upper end."""
        return self.band / N_BANDS


@dataclass(frozen=True)
class BlindSheet:
    """A feature as a rater sees it.

    Attributes:
        groups: the strongest contexts, then bands 11 to 1.
        raised: tokens whose logits it raises most, with their weight as a share of the largest.
        lowered: those it lowers most; shares below 0.
    """

    groups: tuple[BlindGroup, ...]
    raised: tuple[tuple[int, float], ...]
    lowered: tuple[tuple[int, float], ...]


def blind_sheet(record: FeatureRecord, windows: Mapping[int, WindowRecord]) -> BlindSheet:
    """What is shown of a feature.

    Args:
        record: as harvested.
        windows: those that its examples point to, by number.
    """
    shown: set[tuple[int, int]] = set()
    by_band = {group.number: group for group in record.groups if group.kind is GroupKind.BAND}
    groups = [
        BlindGroup(0, _contexts(group.examples, N_STRONGEST, record, windows, shown))
        for group in record.groups
        if group.kind is GroupKind.TOP
    ]
    for number in reversed(range(N_BANDS)):
        drawn: tuple[BlindContext, ...] = ()
        if number in by_band:
            examples = by_band[number].examples
            drawn = _contexts(examples, N_PER_BAND, record, windows, shown)
        groups.append(BlindGroup(number + 1, drawn))
    weights = np.concatenate([record.raised.weights, record.lowered.weights])
    largest = float(np.abs(weights).max(initial=0.0))
    return BlindSheet(
        tuple(groups), _shares(record.raised, largest), _shares(record.lowered, largest)
    )


def _contexts(
    examples: Examples,
    most: int,
    record: FeatureRecord,
    windows: Mapping[int, WindowRecord],
    shown: set[tuple[int, int]],
) -> tuple[BlindContext, ...]:
    """The first few whose place is not in `shown`, which they are added to."""
    drawn: list[BlindContext] = []
    for i, (number, peak) in enumerate(
        zip(examples.windows.tolist(), examples.peaks.tolist(), strict=True)
    ):
        if len(drawn) == most:
            break
        if (number, peak) in shown or number not in windows:
            continue
        shown.add((number, peak))
        inside = slice(int(examples.bounds[i]), int(examples.bounds[i + 1]))
        values = examples.values[inside].astype(np.float64)
        bands = np.ceil(N_BANDS * values / record.maximum).clip(1, N_BANDS).astype(np.int64)
        tokens = windows[number].tokens
        marks = np.zeros(len(tokens), np.int64)
        places = examples.positions[inside].astype(np.int64)
        marked = (bands > LOWEST) | (places == peak)
        marks[places[marked]] = bands[marked]
        begin = max(0, peak - BEFORE)
        cut = slice(begin, peak + AFTER + 1)
        drawn.append(BlindContext(tokens[cut], marks[cut], peak - begin))
    return tuple(drawn)


def _shares(ranking: Ranking, largest: float) -> tuple[tuple[int, float], ...]:
    """Tokens with weights in whole percents of the largest."""
    if largest <= 0:
        return ()
    shares = np.round(ranking.weights.astype(np.float64) / largest, 2).tolist()
    return tuple(zip(ranking.ids.tolist(), shares, strict=True))
