"""What a plan file of an experiment holds, table by table, and the sentence for one that does not
fit. A default says that a field may be missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MOST_ARMS = 64
MOST_OUTCOMES = 32

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Words = Annotated[str, Field(min_length=1, max_length=1_000)]
Whole = Annotated[int, Field(ge=0, lt=2**31)]
Strength = Annotated[float, Field(strict=False, ge=-1e6, le=1e6)]


class _PlanTable(BaseModel):
    """Common to all tables: no value is taken for one of another type; true is no number."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class ArmTable(_PlanTable):
    """`[[arms]]`: what is done to the model, at one strength or several."""

    name: Line | None = None
    features: Annotated[tuple[Whole, ...], Field(strict=False)] = ()
    ablate: Annotated[tuple[Whole, ...], Field(strict=False)] = ()
    list: Line | None = None
    contrast: Line | None = None
    dictionary: Line | None = None
    method: Literal["add", "clamp", "scale", "cap", "remove"] = "add"
    strengths: Annotated[tuple[Strength, ...], Field(strict=False, min_length=1)] = (1.0,)
    controls: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ArmTable:
        given = [self.features, self.ablate, self.list, self.contrast]
        if sum(map(bool, given)) != 1:
            raise ValueError(
                "an arm has one of features, ablate, list and contrast; the arm without edits is "
                "always there"
            )
        if self.contrast and self.method in ("clamp", "scale"):
            raise ValueError(
                "the direction of a contrast reads nothing: its method is add, cap or remove"
            )
        if self.ablate and self.model_fields_set & {"method", "strengths"}:
            raise ValueError("an ablation has no method and no strengths")
        if len(set(self.strengths)) < len(self.strengths):
            raise ValueError("each strength stands once")
        return self


class OutcomeTable(_PlanTable):
    """`[[outcomes]]`: what is looked at in each text, or in the predictions."""

    name: Line | None = None
    words: list[Words] = []
    pattern: Words | None = None
    answer: Words | None = None
    answer_field: Line | None = None
    against: list[Words] = []
    measure: Literal["length", "repetition"] | None = None
    monitor: Line | None = None
    question: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    scale: Annotated[int, Field(ge=1, le=100)] | None = None
    endpoint: Line | None = None
    judge: Line | None = None
    key_name: Line = "OPENAI_API_KEY"

    @model_validator(mode="after")
    def _one_kind(self) -> OutcomeTable:
        given = (self.words, self.pattern, self.answer, self.answer_field)
        if sum(map(bool, (*given, self.measure, self.monitor, self.question))) != 1:
            raise ValueError(
                "an outcome has one of words, pattern, answer, answer_field, measure, monitor and "
                "question"
            )
        if self.against and not (self.answer or self.answer_field):
            raise ValueError("only an answer is held against others")
        if bool(self.question) != bool(self.endpoint and self.judge):
            raise ValueError(
                "a question needs an endpoint and the judge, its name of a model; nothing else "
                "has them"
            )
        return self


class PlanTable(_PlanTable):
    """A whole plan."""

    name: Line | None = None
    dictionary: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]
    prompts: Line
    samples: Annotated[int, Field(ge=1, le=1_000)] = 1
    tokens: Annotated[int, Field(ge=1, le=4_096)] = 24
    temperature: Annotated[float, Field(strict=False, ge=0, le=100)] = 1.0
    top_p: Annotated[float, Field(strict=False, gt=0, le=1)] = 1.0
    top_k: Whole = 0
    scope: Literal["all", "generated"] = "all"
    seed: Whole = 0
    controls: Annotated[int, Field(ge=0, le=20)] = 1
    neutral: Line | None = None
    neutral_texts: Annotated[int, Field(ge=0, le=10_000)] = 64
    arms: Annotated[list[ArmTable], Field(min_length=1, max_length=MOST_ARMS)]
    outcomes: Annotated[list[OutcomeTable], Field(min_length=1, max_length=MOST_OUTCOMES)]

    @model_validator(mode="after")
    def _samples_differ(self) -> PlanTable:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                "with the temperature 0 all samples of a prompt are the same: ask for one"
            )
        return self


def parse_plan(values: Mapping[str, Any]) -> PlanTable:
    """A plan of the values of its file.

    Raises:
        ValueError: they do not fit; a sentence that names the first field of those.
    """
    try:
        return PlanTable.model_validate(values)
    except ValidationError as error:
        raise ValueError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    # An unknown name goes first: it is often the misspelt name of a field that is missing.
    faults = error.errors(include_url=False)
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        tables: dict[str, type[_PlanTable]] = {"arms": ArmTable, "outcomes": OutcomeTable}
        table = tables.get(str(fault["loc"][0]), PlanTable)
        known = ", ".join(sorted(table.model_fields))
        return f"there is no field {where}; known are {known}."
    if fault["type"] == "missing":
        return f"{where} is missing."
    said = fault["msg"].removeprefix("Value error, ").rstrip(".")
    given = fault["input"]
    if isinstance(given, str | int | float | bool) and not (
        isinstance(given, float) and not math.isfinite(given)
    ):
        said += f" (it is {given!r:.60})"
    return f"{where}: {said}." if where else f"{said}."
