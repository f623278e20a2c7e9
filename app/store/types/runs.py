"""Trainings and running harvests, as the store has them: frozen values, no queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.store.names import check_name
from sae_core.training.config import TrainingPoint

Status = Literal["running", "finished", "failed", "stopped"]

PATIENCE_SECONDS = 120.0
PATIENCE_POINTS = 4.0
CHECKPOINT_STEPS = 250  # steps from one checkpoint of a training to the next


@dataclass(frozen=True)
class RunRecord:
    """A training.

    Attributes:
        name: what pages and addresses call it, unique in the store.
        model: name of the language model, which the store need not know.
        hook_point: where the dictionary reads.
        config: the fields of its `TrainingConfig`: JSON values.
        settings: what else the result hangs on, such as the text and the context: JSON values.
        sweep: name of the sweep it belongs to; empty: none.
        status: whether it runs, or how it ended.
        message: why it ended, for one that failed; else empty.
        folder: of the finished dictionary; None: there is none, or it was not kept.
        checksum: of the finished dictionary; None: it has not finished.
        evaluation: `Evaluation.figures()`, on held-out text where `settings["held_out"]` says so;
            None: not evaluated.
        cost: what it took, such as `seconds` and `peak_bytes`; None: not measured.
    """

    name: str
    model: str
    hook_point: str
    config: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sweep: str = ""
    status: Status = "running"
    message: str = ""
    folder: str | None = None
    checksum: str | None = None
    evaluation: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in filter(None, (self.name, self.sweep)):
            check_name(name, "with --name")

    @property
    def output_hook_point(self) -> str:
        """Whose activation is reconstructed: another than is read where it is a transcoder."""
        return str(self.settings.get("output_hook_point") or self.hook_point)

    @property
    def skip(self) -> bool:
        """Whether a linear map of what is read is part of the reconstruction."""
        return self.settings.get("skip") is True


def dead_share(config: Mapping[str, Any], point: TrainingPoint | None) -> float:
    """Features without a firing for the training's `dead_after` tokens at a point of its curves;
    NaN before so many tokens were seen, when none can be dead."""
    if point is None or point.tokens < config["dead_after"]:
        return math.nan
    return point.dead_share


@dataclass(frozen=True)
class RunView:
    """A training as pages show it.

    Attributes:
        record: as it was reported.
        last: the last point of its curves; None: there is none yet.
        age_seconds: since it last reported; None where that was not recorded.
        point_seconds: between its last two reports; 0.0 before there are two.
        dictionaries: (model, dictionary) of each harvested dictionary with its checksum.
    """

    record: RunRecord
    last: TrainingPoint | None
    age_seconds: float | None
    point_seconds: float
    dictionaries: tuple[tuple[str, str], ...]

    @property
    def stalled(self) -> bool:
        """Whether it should have reported: it was killed, or the machine sleeps."""
        patience = max(PATIENCE_SECONDS, PATIENCE_POINTS * self.point_seconds)
        return (
            self.record.status == "running"
            and self.age_seconds is not None
            and self.age_seconds > patience
        )

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        config = self.record.config
        return -(-int(config["tokens"]) // int(config["batch"]))

    @property
    def dead_share(self) -> float:
        """As `dead_share` at the last point."""
        return dead_share(self.record.config, self.last)

    @property
    def has_checkpoint(self) -> bool:
        """Whether the same command goes on from something."""
        return self.last is not None and self.last.step >= min(CHECKPOINT_STEPS, self.steps)

    @property
    def eta_seconds(self) -> float | None:
        """What is left at the last speed; None while unknown."""
        if self.last is None or not self.last.tokens_per_second > 0:
            return None
        left = int(self.record.config["tokens"]) - self.last.tokens
        return max(0, left) / self.last.tokens_per_second


@dataclass(frozen=True)
class RunCurve:
    """A training with all points of its curves, in order."""

    view: RunView
    points: Sequence[TrainingPoint]


@dataclass(frozen=True)
class ProgressView:
    """A harvest that runs.

    Attributes:
        model: name of the model.
        dictionary: name of the dictionary.
        phase: what it does now: harvesting (counted in tokens), evaluating (in windows),
            describing, shuffling, labelling or ablating (in features).
        done: so far, in the phase's unit.
        total: in all, in the same unit.
        tokens_per_second: rate in the same unit; 0.0 while unknown.
        eta_seconds: what is left; None while unknown.
        age_seconds: since it last reported.
    """

    model: str
    dictionary: str
    phase: str
    done: int
    total: int
    tokens_per_second: float
    eta_seconds: float | None
    age_seconds: float

    @property
    def stalled(self) -> bool:
        """Whether nothing was heard for a minute: it was killed, or the machine sleeps."""
        return self.age_seconds > 60
