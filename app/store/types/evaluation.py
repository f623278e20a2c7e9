"""An evaluation as the store keeps it and the JSON interface answers it: frozen types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Interval = tuple[float, float]


class _Part(BaseModel):
    """Common to all parts."""

    model_config = ConfigDict(frozen=True)


class Counts(_Part):
    """Counts over equal-width buckets from `low` to `high`."""

    low: float
    high: float
    counts: list[int]


class ActiveFeatures(_Part):
    """How many features are active on a token."""

    counts: Counts = Field(description="Tokens by number of active features.")
    width: int = Field(description="Whole numbers in a bucket.")
    quantiles: list[int] = Field(description="5th, 25th, 50th, 75th and 95th percentile.")


class PositionFit(_Part):
    """FVU by position in the window, column by column."""

    starts: list[int] = Field(description="First position of each group; a BOS is position 0.")
    width: int = Field(description="Positions in a group.")
    n_tokens: list[int]
    fvu: list[float]
    intervals: list[Interval | None] = Field(description="95 %, over documents.")


class Densities(_Part):
    """Features by log10 of the share of tokens on which they fire."""

    counts: Counts
    dead: int = Field(description="Features that fire on none of the tokens.")


class BandEffects(_Part):
    """What each of eleven equal-width activation bands carries, from the weakest to the strongest.

    L_b is the loss with the reconstruction from the firings of band b and above alone; band b
    carries (L_{b+1} - L_b) / (L_11 - L_0) of the loss effect.
    """

    firings: list[int]
    activation: list[float] = Field(description="Share of the sum of all activations.")
    losses: list[float] = Field(description="L_0 to L_11, nats per token.")
    shares: list[float | None] = Field(description="Of the loss effect.")
    intervals: list[Interval | None] = Field(description="95 %, over documents, of each share.")


class RandomDirections(_Part):
    """What as many independent random directions would give on average."""

    cosines: list[float]
    nearest: list[float]
    nearest_median: float


class DecoderGeometry(_Part):
    """How the decoder's directions lie."""

    d_in: int
    n_directions: int
    mean: float = Field(description="Of the cosines of all pairs.")
    root_mean_square: float = Field(description="Of the same.")
    cosines: Counts = Field(description="Pairs by cosine.")
    nearest: Counts = Field(description="Features by cosine with their nearest other one.")
    nearest_quantiles: list[float] = Field(description="5th, 25th, 50th, 75th, 95th percentile.")
    random: RandomDirections | None


class Details(_Part):
    """What is more than a number."""

    intervals: dict[str, Interval] = Field(description="95 %, over documents, by figure.")
    active: ActiveFeatures
    positions: PositionFit
    densities: Densities
    bands: BandEffects | None = Field(description="Null: not computed.")
    decoder: DecoderGeometry | None = Field(description="Null: not computed.")


class Measured(_Part):
    """On what the figures were computed."""

    corpus: str = Field(description="Name of the text.")
    reading: dict[str, Any] = Field(description="Where the text is, and how it is read.")
    source: str
    fingerprint: str
    held_out: bool = Field(description="Whether no training of ours saw it.")
    n_ctx: int
    tokens: int = Field(description="Asked for; whole windows are taken.")
    seed: int = Field(description="Of the draw of windows.")
    n_windows: int
    model_checksum: str
    dictionary_checksum: str
    dtype: str
    torch: str


class StoredEvaluation(_Part):
    """Figures of a dictionary; losses in nats per token.

    What an older version has computed may lack some.
    """

    n_tokens: int | None = None
    n_targets: int | None = None
    n_documents: int | None = None
    l0: float | None = None
    fvu: float | None = None
    l_clean: float | None = None
    l_recon: float | None = None
    l_zero: float | None = None
    l_mean: float | None = None
    kl: float | None = None
    dead_share: float | None = None
    extra_loss: float | None = None
    extra_loss_fraction: float | None = None
    loss_recovered: float | None = None
    extra_loss_fraction_mean: float | None = None
    loss_recovered_mean: float | None = None
    held_out: bool | None = None
    details: Details | None = None
    measured: Measured | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing is missing that `featurescope evaluate` computes."""
        return self.details is not None and self.details.decoder is not None

    def interval(self, figure: str) -> Interval | None:
        """The 95 % interval of a figure, where it has one."""
        return self.details.intervals.get(figure) if self.details else None


def stored_evaluation(evaluation: Mapping[str, Any] | None) -> StoredEvaluation | None:
    """What a dictionary's `evaluation` says; None where it has none.

    Parts that another version of Featurescope wrote otherwise are left out.
    """
    if not evaluation:
        return None
    try:
        return StoredEvaluation.model_validate(evaluation)
    except ValidationError:
        return StoredEvaluation.model_validate(without_details(evaluation))


def without_details(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The figures alone, for lists of dictionaries."""
    return {key: value for key, value in evaluation.items() if key not in ("details", "measured")}
