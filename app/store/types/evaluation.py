"""An evaluation as the store keeps it and the JSON interface answers it: frozen types.

What the figures hold beside single numbers are the very types of `sae_core.evaluation.figures`;
here is only what an older version may have left out, and on what the figures were computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sae_core.evaluation.figures import EvaluationDetails, Interval


class EvaluationSetup(BaseModel):
    """On what the figures were computed."""

    model_config = ConfigDict(frozen=True)

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


class StoredEvaluation(BaseModel):
    """Figures of a dictionary; losses in nats per token.

    What an older version has computed may lack some.
    """

    model_config = ConfigDict(frozen=True)

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
    details: EvaluationDetails | None = None
    measured: EvaluationSetup | None = None

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
