"""What the JSON interface says of trainings and sweeps: frozen types, no functions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.web.schema import Answer


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
    hook_point: str = Field(description="Where the dictionary reads.")
    output_hook_point: str = Field(
        description="Whose activation it reconstructs; another one where it is a transcoder."
    )
    skip: bool = Field(description="A linear map of what is read is part of the reconstruction.")
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
