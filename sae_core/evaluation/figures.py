"""What an evaluation says of a dictionary: plain frozen values, without torch.

The same types go from the computation to the store, the page and the JSON interface. Their
docstrings and the descriptions of their fields are what the interface's documentation shows.

Definitions. FVU is sum ||x - x_hat||^2 / sum ||x - mean(x)||^2, the mean being that over all
evaluated tokens, also where the sums run over the tokens at some positions alone. A feature's
density is the share of the evaluated tokens on which it fires. Intervals hold 95 % and are taken
over whole documents, as `document_sums` describes; None stands where there is none, as for too few
documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

Interval = tuple[float, float]


@dataclass(frozen=True)
class BucketCounts:
    """Counts over equal-width buckets from `low` to `high`."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ActiveCounts:
    """How many features are active on a token."""

    counts: BucketCounts = field(metadata={"description": "Tokens by number of active features."})
    width: int = field(metadata={"description": "Whole numbers in a bucket."})
    quantiles: tuple[int, ...] = field(
        metadata={"description": "5th, 25th, 50th, 75th and 95th percentile."}
    )


@dataclass(frozen=True)
class PositionFit:
    """FVU by position in the window, column by column."""

    # Groups in which no token is text are left out.
    starts: tuple[int, ...] = field(
        metadata={"description": "First position of each group; a BOS is position 0."}
    )
    width: int = field(metadata={"description": "Positions in a group."})
    n_tokens: tuple[int, ...]
    fvu: tuple[float, ...]
    intervals: tuple[Interval | None, ...] = field(
        metadata={"description": "95 %, over documents."}
    )


@dataclass(frozen=True)
class Densities:
    """Features by log10 of the share of tokens on which they fire."""

    counts: BucketCounts
    dead: int = field(metadata={"description": "Features that fire on none of the tokens."})


@dataclass(frozen=True)
class BandEffects:
    """What each of eleven equal-width activation bands carries, from the weakest to the strongest.

    L_b is the loss with the reconstruction from the firings of band b and above alone; band b
    carries (L_{b+1} - L_b) / (L_11 - L_0) of the loss effect.
    """

    firings: tuple[int, ...]
    activation: tuple[float, ...] = field(
        metadata={"description": "Share of the sum of all activations."}
    )
    losses: tuple[float, ...] = field(metadata={"description": "L_0 to L_11, nats per token."})
    # None where L_11 = L_0: then there is no loss effect to share.
    shares: tuple[float | None, ...] = field(metadata={"description": "Of the loss effect."})
    intervals: tuple[Interval | None, ...] = field(
        metadata={"description": "95 %, over documents, of each share."}
    )


@dataclass(frozen=True)
class RandomDirections:
    """What as many independent random directions would give on average."""

    # Expected counts in the buckets of `DecoderGeometry.cosines` and of its `nearest`.
    cosines: tuple[float, ...]
    nearest: tuple[float, ...]
    nearest_median: float


@dataclass(frozen=True)
class DecoderGeometry:
    """How the decoder's directions lie."""

    # Entries of a direction: of a transcoder, of what it writes.
    d_in: int
    # Decoder rows that are not 0; a row of zeros has no direction.
    n_directions: int
    mean: float = field(metadata={"description": "Of the cosines of all pairs."})
    # 1 / sqrt(d_in) for random directions.
    root_mean_square: float = field(metadata={"description": "Of the same."})
    cosines: BucketCounts = field(metadata={"description": "Pairs by cosine."})
    nearest: BucketCounts = field(
        metadata={"description": "Features by cosine with their nearest other one."}
    )
    nearest_quantiles: tuple[float, ...] = field(
        metadata={"description": "5th, 25th, 50th, 75th, 95th percentile."}
    )
    # None where d_in is 1.
    random: RandomDirections | None


@dataclass(frozen=True)
class EvaluationDetails:
    """What is more than a number."""

    # A figure without an interval is missing here. The dead share never has one: resampled
    # documents hold fewer different texts, on which more features are dead.
    intervals: Mapping[str, Interval] = field(
        metadata={"description": "95 %, over documents, by figure."}
    )
    active: ActiveCounts
    positions: PositionFit
    densities: Densities
    bands: BandEffects | None = field(metadata={"description": "Null: not computed."})
    decoder: DecoderGeometry | None = field(metadata={"description": "Null: not computed."})
    interval_method: str | None = field(
        default=None,
        metadata={"description": "How intervals were computed; null: by resampling documents."},
    )


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
        l_clean: loss of the model as it is.
        l_recon: loss with x replaced by x_hat at every text position.
        l_zero: loss with x replaced by 0.
        l_mean: loss with x replaced by its mean over the evaluated text.
        kl: mean of KL(clean || reconstructed) of the predictions, nats/token.
        dead_share: share of the features that fire on none of the tokens.
        details: intervals and distributions; its `bands` and `decoder` are None where they were
            not asked for, `decoder` also where fewer than two rows have a direction.
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
    details: EvaluationDetails

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
        """(L_recon - L_clean) / (L_mean - L_clean)."""
        return (self.l_recon - self.l_clean) / (self.l_mean - self.l_clean)

    def scalars(self) -> dict[str, float | int]:
        """The figures that are one number each."""
        figures: dict[str, float | int] = {
            column.name: getattr(self, column.name)
            for column in fields(self)
            if column.name != "details"
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

        Beside the scalars `details` holds `EvaluationDetails`, its numbers to six significant
        digits.
        """
        return {**self.scalars(), "details": _plain(asdict(self.details))}


def _plain(value: Any) -> Any:
    """A value as JSON has it, its numbers to six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    return value
