"""What the JSON interface says of trainings and sweeps: frozen types, no functions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.pages.feature.schema import Answer


class RunPoint(Answer):
    """A point of a training's curves: means over the steps since the point before."""

    step: int
    tokens: int
    loss: float = Field(description="The architecture's own training loss.")
    l0: float
    fvu: float
    dead_share: float
    penalty: float = Field(description="Weight of the sparsity penalty; 0 where there is none.")
    tokens_per_second: float = Field(description="0 where it is not known.")


class HarvestedAs(Answer):
    """A harvested dictionary that a training made."""

    model: str
    dictionary: str


class Run(Answer):
    """A training."""

    name: str
    sweep: str = Field(description="Name of the sweep it belongs to; empty: none.")
    model: str
    hook_point: str
    config: dict[str, Any]
    settings: dict[str, Any] = Field(description="What else the result hangs on.")
    status: Literal["running", "finished", "failed", "stopped"]
    silent: bool = Field(description="It runs, but should have reported since.")
    message: str = Field(description="Why it failed.")
    checksum: str | None
    evaluation: dict[str, Any] | None = Field(
        description="Figures, on held-out text where `settings.held_out` says so."
    )
    cost: dict[str, Any] | None = Field(description="What it took: seconds, bytes.")
    dictionaries: list[HarvestedAs]
    last: RunPoint | None


class RunWithCurve(Run):
    """A training with its curves."""

    curve: list[RunPoint]


class Runs(Answer):
    """Trainings."""

    runs: list[Run]
    sweeps: dict[str, int] = Field(description="How many runs each sweep has.")


class SweepRow(Answer):
    """A run of a sweep in figures; losses, L0 and FVU are those of its evaluation."""

    name: str
    architecture: str
    d_sae: int
    target: float | None = Field(description="The L0 that was asked for.")
    seed: int
    tokens: int
    l0: float
    fvu: float
    extra_loss: float | None = Field(description="(L_recon - L_clean) / (L_zero - L_clean).")
    added_nats: float
    dead_share: float | None = Field(
        description="Features without a firing in the last `config.dead_after` training tokens; "
        "null: it was trained on fewer."
    )
    silent_share: float = Field(
        description="Features that fire on none of the evaluated tokens, those that are only rare "
        "included."
    )
    seconds: float | None = Field(
        description="Of training, the model included where activations were not cached."
    )
    peak_bytes: float | None = Field(
        description="Most that the process held, the model and pages of cached activations "
        "included."
    )
    on_front: bool = Field(description="On the Pareto front of L0 and extra loss.")


class Standing(Answer):
    """An architecture at one L0 and size, over its seeds."""

    architecture: str
    value: float = Field(description="At the L0 that was asked for.")
    measured: float = Field(description="At `l0`, the L0 that was reached.")
    spread: float | None = Field(description="Standard deviation over the seeds.")
    seeds: int
    l0: float
    fair: bool = Field(description="Whether `value` is at the L0 that was asked for.")


class Contest(Answer):
    """All architectures at one L0 and size, the best first."""

    goal: str = Field(examples=["Extra loss"], description="In the unit of the page's plots.")
    target: float
    d_sae: int
    standings: list[Standing]
    noise: float | None = Field(description="Standard deviation between seeds, pooled.")
    noise_from: list[float] = Field(description="The L0s at which it was measured.")
    clear: bool | None = Field(description="Whether the first two differ by more than seeds do.")


class Sweep(Answer):
    """A sweep's results."""

    name: str
    n_runs: int
    rows: list[SweepRow]
    contests: list[Contest]
