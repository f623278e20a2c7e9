"""What an evaluation says of a dictionary: plain frozen values, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sae_core.harvest.records import Histogram

Interval = tuple[float, float]


@dataclass(frozen=True)
class ActiveFeatures:
    """How many features are active on a token.

    Attributes:
        counts: tokens by number of active features; each bucket holds `width` whole numbers.
        width: see counts.
        quantiles: the 5th, 25th, 50th, 75th and 95th percentile.
    """

    counts: Histogram
    width: int
    quantiles: tuple[int, ...]


@dataclass(frozen=True)
class PositionFit:
    """FVU by position in the window: squared error over the squared deviation from the overall
    mean, both summed over the tokens at those positions.

    Attributes:
        starts: first position of each group that holds text; the BOS is position 0 where there is
            one.
        width: positions in a group.
        n_tokens: tokens in each group.
        fvu: of each group.
        intervals: 95 %, over documents; None where there is none, as of few documents.
    """

    starts: tuple[int, ...]
    width: int
    n_tokens: tuple[int, ...]
    fvu: tuple[float, ...]
    intervals: tuple[Interval | None, ...]


@dataclass(frozen=True)
class Densities:
    """Features by the share of tokens on which they fire.

    Attributes:
        counts: features that fire, over log10(density).
        dead: features that fire on none of the tokens.
    """

    counts: Histogram
    dead: int


@dataclass(frozen=True)
class BandEffects:
    """The share of the loss effect that each activation band carries; see `activation_bands`.

    Attributes:
        firings: in each band, from the weakest to the strongest, [11].
        activation: each band's share of the sum of all activations, [11].
        losses: L_0 to L_11, nats/token, [12].
        shares: (L_{b+1} - L_b) / (L_11 - L_0), [11]; None where L_11 = L_0.
        intervals: 95 %, over documents, of each share.
    """

    firings: tuple[int, ...]
    activation: tuple[float, ...]
    losses: tuple[float, ...]
    shares: tuple[float | None, ...]
    intervals: tuple[Interval | None, ...]


@dataclass(frozen=True)
class RandomDirections:
    """What as many independent random directions would give on average.

    Attributes:
        cosines: pairs in each bucket of `DecoderGeometry.cosines`.
        nearest: features in each bucket of `DecoderGeometry.nearest`.
        nearest_median: median cosine of a direction with its nearest other one.
    """

    cosines: tuple[float, ...]
    nearest: tuple[float, ...]
    nearest_median: float


@dataclass(frozen=True)
class DecoderGeometry:
    """How the decoder's directions lie; see `decoder_geometry`.

    Attributes:
        d_in: dimensions.
        n_directions: decoder rows that are not 0.
        mean: of the cosines of all pairs.
        root_mean_square: of the same; 1 / sqrt(d_in) for random directions.
        cosines: of all pairs.
        nearest: of each row with the nearest other one: features by that cosine.
        nearest_quantiles: its 5th, 25th, 50th, 75th and 95th percentile.
        random: the measure; None in one dimension.
    """

    d_in: int
    n_directions: int
    mean: float
    root_mean_square: float
    cosines: Histogram
    nearest: Histogram
    nearest_quantiles: tuple[float, ...]
    random: RandomDirections | None


@dataclass(frozen=True)
class Evaluation:
    """Figures of design.md, over the text tokens of the given windows; losses in nats/token.

    Attributes:
        n_tokens: text tokens evaluated.
        n_targets: those of them that the model predicts: all but a window's first, where the
            model has no BOS.
        n_documents: documents that they come from.
        l0: mean number of active features on a token.
        fvu: sum ||x - x_hat||^2 / sum ||x - mean(x)||^2.
        l_clean: the model as it is.
        l_recon: x replaced by x_hat at every text position.
        l_zero: x replaced by 0.
        l_mean: x replaced by its mean over the evaluated text.
        kl: mean of KL(clean || reconstructed) of the predictions, nats/token.
        dead_share: features that fire on none of the tokens.
        intervals: 95 %, over documents, by figure (see `document_sums`); a figure without one is
            not in it. The dead share has none: of fewer documents it is another quantity.
        active: how many features are active on a token.
        positions: FVU by position.
        densities: how often features fire.
        bands: what low activations matter; None where it was not asked for.
        decoder: how its directions lie; None where it was not asked for, or has too few.
    """

    n_tokens: int
    n_targets: int
    n_documents: int
    l0: float
    fvu: float
    l_clean: float
    l_recon: float
    l_zero: float
    l_mean: float
    kl: float
    dead_share: float
    intervals: Mapping[str, Interval]
    active: ActiveFeatures
    positions: PositionFit
    densities: Densities
    bands: BandEffects | None = None
    decoder: DecoderGeometry | None = None

    @property
    def extra_loss(self) -> float:
        """L_recon - L_clean, nats/token."""
        return self.l_recon - self.l_clean

    @property
    def extra_loss_fraction(self) -> float:
        """(L_recon - L_clean) / (L_zero - L_clean)."""
        return (self.l_recon - self.l_clean) / (self.l_zero - self.l_clean)

    @property
    def extra_loss_fraction_mean(self) -> float:
        """The same against mean ablation."""
        return (self.l_recon - self.l_clean) / (self.l_mean - self.l_clean)

    def scalars(self) -> dict[str, float | int]:
        """The figures that are one number each."""
        figures: dict[str, float | int] = {
            field.name: value
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), (int, float))
        }
        figures["extra_loss"] = self.extra_loss
        # A hook point that the loss does not hang on has no such fraction.
        if self.l_zero != self.l_clean:
            figures["extra_loss_fraction"] = self.extra_loss_fraction
            figures["loss_recovered"] = 1.0 - self.extra_loss_fraction
        if self.l_mean != self.l_clean:
            figures["extra_loss_fraction_mean"] = self.extra_loss_fraction_mean
            figures["loss_recovered_mean"] = 1.0 - self.extra_loss_fraction_mean
        return figures

    def figures(self) -> dict[str, Any]:
        """All of it as JSON values, as the store keeps it.

        Beside the scalars `details` holds, to six significant digits, the intervals, the
        distributions and, each where it was computed, `bands` and `decoder`.
        """
        parts = ("intervals", "active", "positions", "densities", "bands", "decoder")
        return {**self.scalars(), "details": {name: _plain(getattr(self, name)) for name in parts}}


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value
