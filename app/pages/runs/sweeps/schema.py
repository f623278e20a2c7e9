"""A sweep as JSON: one row a training, and who wins."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BeforeValidator, Field

from app.web.schema import Answer


def _measured(value: float) -> float | None:
    return None if math.isnan(value) else value


Measured = Annotated[float | None, BeforeValidator(_measured)]
"""Made of a number; NaN, for what was not measured, becomes null."""


class SweepRowAnswer(Answer):
    """A run of a sweep in figures; losses, L0 and FVU are those of its evaluation."""

    name: str
    architecture: str
    d_sae: int
    target: float | None = Field(description="The L0 that was asked for.")
    seed: int
    tokens: int
    l0: float
    fvu: float
    extra_loss: Measured = Field(description="(L_recon - L_clean) / (L_zero - L_clean).")
    added_nats: float
    dead_share: Measured = Field(
        description="Features without a firing in the last `config.dead_after` training tokens; "
        "null: it was trained on fewer."
    )
    silent_share: float = Field(
        description="Features that fire on none of the evaluated tokens, those that are only rare "
        "included."
    )
    seconds: Measured = Field(
        description="Of training, the model included where activations were not cached."
    )
    peak_bytes: Measured = Field(
        description="Most that the process held, the model and pages of cached activations "
        "included."
    )
    on_front: bool = Field(description="On the Pareto front of L0 and extra loss.")


class StandingAnswer(Answer):
    """An architecture at one L0 and size, over its seeds."""

    architecture: str
    value: float = Field(description="At the L0 that was asked for.")
    measured: float = Field(description="At `l0`, the L0 that was reached.")
    spread: float | None = Field(description="Standard deviation over the seeds.")
    seeds: int
    l0: float
    fair: bool = Field(description="Whether `value` is at the L0 that was asked for.")


class ContestAnswer(Answer):
    """All architectures at one L0 and size, the best first."""

    goal: str = Field(examples=["Extra loss"], description="In the unit of the page's plots.")
    target: float
    d_sae: int
    standings: list[StandingAnswer]
    noise: float | None = Field(description="Standard deviation between seeds, pooled.")
    noise_from: list[float] = Field(description="The L0s at which it was measured.")
    clear: bool | None = Field(description="Whether the first two differ by more than seeds do.")


class Sweep(Answer):
    """A sweep's results."""

    name: str
    n_runs: int
    rows: list[SweepRowAnswer]
    contests: list[ContestAnswer]
