"""What a file of a sweep's results holds, field by field: strict types, no functions.

A default says that a field may be missing; it is never read.

The files come from other machines and other hands, and pages rely on what they read of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

FORMAT = 1
_LARGEST = 2**63 - 1  # that databases hold
_MOST = 1e12  # that axes of plots have room for, per cent

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]  # Postgres holds no other
Name = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
Whole = Annotated[int, Field(ge=0, le=_LARGEST)]
Counted = Annotated[int, Field(ge=1, le=_LARGEST)]
Figure = Annotated[float, Field(ge=-_MOST, le=_MOST)]
Amount = Annotated[float, Field(ge=0, le=_MOST)]
Cost = Annotated[float, Field(ge=0, le=_LARGEST)]
Mean = Annotated[float, Field(ge=-1000 * _MOST, le=1000 * _MOST)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """Common to all parts: no value is taken for one of another type."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class ConfigFile(_Part):
    """The fields of a `TrainingConfig`. Those that pages read have to be there."""

    model_config = ConfigDict(extra="forbid")

    architecture: Name
    d_sae: Counted
    l0: float | None
    penalty: float | None
    tokens: Counted
    batch: Counted
    seed: Whole
    dead_after: Counted
    learning_rate: float | None = None
    warmup: float = 0
    decay: float = 0
    sparsity_warmup: float = 0
    normalisation: Text = ""
    downstream: float = 0
    precision: Text = ""


class SettingsFile(_Part):
    """What else figures hang on."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    evaluation_tokens: Whole = 0
    n_ctx: Whole = 0
    held_out: bool = False
    corpus: Text = ""
    command: Text = ""
    pages: Text = ""
    learning_rate: Figure = 0.0
    output_hook_point: Text = ""
    skip: bool = False


class DetailsFile(_Part):
    """What is more than a number."""

    model_config = ConfigDict(extra="forbid")

    intervals: dict[Text, tuple[Figure, Figure]] = {}
    interval_method: Text | None = None


class EvaluationFile(_Part):
    """Figures. Those that pages cannot do without have to be there; others may."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Figure]

    l0: Amount
    fvu: Amount
    l_clean: Figure
    l_recon: Figure
    dead_share: Share
    details: DetailsFile | None = None


class CurveFile(_Part):
    """Columns of the points, as in `TrainingPoint`; null: no number."""

    model_config = ConfigDict(extra="forbid")

    step: list[Counted]
    tokens: list[Whole]
    loss: list[Mean | None]
    l0: list[Mean | None]
    fvu: list[Mean | None]
    dead_share: list[Mean | None]
    penalty: list[Mean | None]
    tokens_per_second: list[Mean | None]


class RecordFile(_Part):
    """A run of a sweep, as in `app.jobs.training.sweeps.records.SweepRecord`."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1]
    sweep: Name
    run: Name
    model: Name
    hook_point: Name
    config: ConfigFile
    settings: SettingsFile
    status: Literal["finished", "failed"]
    message: Text = ""
    evaluation: EvaluationFile | None = None
    cost: dict[Text, Cost] = {}
    checksum: Text | None = None
    folder: Text | None = None
    curve: CurveFile
