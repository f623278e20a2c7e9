"""What a harvest says of each feature: plain frozen values over NumPy arrays, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

N_BANDS = 11
N_HISTOGRAM = 40


class GroupKind(StrEnum):
    """The three kinds of groups of contexts on a feature's page."""

    TOP = "top"
    BAND = "band"
    WEAKEST = "weakest"


@dataclass(frozen=True)
class Examples:
    """Examples, column by column: example i owns the firings `bounds[i]:bounds[i + 1]`.

    Attributes:
        windows: number of the context's window in the corpus, int64 [n].
        peaks: position, in the window, of the firing that the example was drawn for, uint16 [n].
        bounds: where the firings of each example begin, with the total at the end, int64 [n + 1].
        positions: where in its window the feature fires, ascending, uint16 [bounds[-1]].
        values: the activations there, model units, > 0, float32 [bounds[-1]].
    """

    windows: NDArray[np.int64]
    peaks: NDArray[np.uint16]
    bounds: NDArray[np.int64]
    positions: NDArray[np.uint16]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.windows)


@dataclass(frozen=True)
class ExampleGroup:
    """One group of contexts, at most one of a document.

    Attributes:
        kind: whether these are the top contexts, those of a band, or the weakest.
        number: the band's number, 10 (strongest) to 0; -1 for the other kinds.
        low: lower end of the activations: a band holds those in (low, high]; for the other kinds it
            is the smallest activation shown, model units.
        high: upper end; for the other kinds the largest activation shown.
        firings: how many of the feature's firings lie in (low, high].
        examples: for top and weakest in the order of activation, for bands in the order drawn.
    """

    kind: GroupKind
    number: int
    low: float
    high: float
    firings: int
    examples: Examples

    @property
    def key(self) -> str:
        """Its name among the feature's groups: `top`, `band-10` to `band-0`, or `weakest`."""
        return f"band-{self.number}" if self.kind is GroupKind.BAND else str(self.kind)


@dataclass(frozen=True)
class Histogram:
    """Counts over equal-width buckets from `low` to `high`, int64 [n]."""

    low: float
    high: float
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """Ids (tokens, neurons or features) with a weight each, in the order shown.

    Attributes:
        ids: what is ranked, int32 [n].
        weights: the weight of each, float32 [n].
        shares: float32 [n]: share of ||d_f||_1 for neurons, share of the feature's own firings for
            features that fire together, share of contexts for tokens that an effect lands on; empty
            where it means nothing.
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    shares: NDArray[np.float32]


@dataclass(frozen=True)
class FeatureRecord:
    """All that a harvest stores of one feature.

    Attributes:
        index: the feature's index in its dictionary.
        firings: number of tokens on which it fires, special tokens left out.
        maximum: its largest activation, model units; 0.0 for a dead feature.
        activations: histogram of the activations > 0, from 0 to the maximum; empty when dead.
        logits: histogram of the logit weights over the vocabulary.
        raised: the ten tokens whose logits the feature raises most; weight = logit weight.
        lowered: the ten it lowers most, most lowered first.
        neurons: entries of d_f largest in magnitude (for a neuron: the features that write to it
            most, where known); empty where the dictionary is not on neurons.
        nearest: features of the same dictionary with the largest decoder cosine; weight = cosine.
        coactive: features that fire on the same tokens; weight = Jaccard index, share = share of
            this feature's firings on which the other fires too.
        groups: top, then bands 10 to 0, then weakest; empty for a dead feature.
        density_interval: the ends of the 95 % interval of the share of tokens on which it fires,
            over documents; None where it is not known: for a dead feature, one document alone, and
            what was imported or harvested by versions that did not compute it.
        fires_on: the ten tokens that it fires on most; weight = share of all of its firings. Empty
            for a dead feature; None where it was imported, or harvested by versions that did not
            count them. See `firing_tokens`.
        fires_after: the ten tokens that stand directly before those most; weight = share of all of
            its firings, so that firings with nothing before them are missing from the sum. None
            where `fires_on` is.
    """

    index: int
    firings: int
    maximum: float
    activations: Histogram
    logits: Histogram
    raised: Ranking
    lowered: Ranking
    neurons: Ranking
    nearest: Ranking
    coactive: Ranking
    groups: tuple[ExampleGroup, ...]
    density_interval: tuple[float, float] | None = None
    fires_on: Ranking | None = None
    fires_after: Ranking | None = None


@dataclass(frozen=True)
class WindowRecord:
    """A window of the corpus that examples point to.

    Attributes:
        number: the window's number in the corpus, by which examples refer to it.
        document: name of the document it lies in.
        line: line of its first text token in the document, from 1; 0: not known.
        tokens: its tokens, BOS first where the model has one, no padding, int64 [n].
    """

    number: int
    document: str
    line: int
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class ContextEffect:
    """What ablating a feature does to one context; positions not listed change by exactly 0.

    Everything under position t is about the prediction *of* token t (made at t - 1).

    Attributes:
        positions: ascending, uint16 [n].
        loss_change: log p_clean - log p_ablated of the token there, nats, float32 [n].
        raised_ids: the five predictions whose logit ablation raises most, int32 [n, 5].
        raised: by how much (ablated - clean logit), float32 [n, 5].
        lowered_ids: the five whose logit it lowers most, int32 [n, 5].
        lowered: by how much (negative), float32 [n, 5].
    """

    positions: NDArray[np.uint16]
    loss_change: NDArray[np.float32]
    raised_ids: NDArray[np.int32]
    raised: NDArray[np.float32]
    lowered_ids: NDArray[np.int32]
    lowered: NDArray[np.float32]


@dataclass(frozen=True)
class Landing:
    """Where a feature's effect lands, from the ablations of its top contexts. See `landing`.

    Attributes:
        effect: mean over those contexts of the largest loss change that ablation makes there, nats;
            None where no context's is known, as for a dead feature.
        contexts: how many contexts that is a mean of.
        tokens: the tokens with those largest changes, in the order of what they add to the mean;
            weight = mean loss change where the token has the largest, nats; share = share of the
            contexts in which it has.
    """

    effect: float | None
    contexts: int
    tokens: Ranking
