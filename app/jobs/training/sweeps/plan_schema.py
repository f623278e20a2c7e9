"""What a plan file of a sweep holds, table by table, and the sentence for one that does not fit.

A field's description is what its user is asked for where the value is another. A default says that
a field may be missing; fields that are missing are left out of the configurations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sae_core.text.corpus import STDLIB
from sae_core.training.config import Normalisation

_NORMALISATIONS = ", ".join(Normalisation)

Words = Annotated[str, Field(description="give words in quotes")]
PossibleWords = Annotated[str | None, Field(description="give words in quotes")]
WholeNumber = Annotated[int, Field(description="give a whole number, such as 3_000_000")]
# A union, because 8 stays 8 in the names and files of runs, and does not become 8.0.
Number = Annotated[int | float, Field(description="give a number")]


class _Table(BaseModel):
    """Common to all tables: no value is taken for one of another type; true is no number."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class TrainingTable(_Table):
    """`[training]`: fields of `TrainingConfig` that all runs share."""

    tokens: WholeNumber = 0
    batch: WholeNumber = 0
    dead_after: WholeNumber = 0
    learning_rate: Number = 0
    warmup: Number = 0
    decay: Number = 0
    sparsity_warmup: Number = 0
    downstream: Number = 0
    normalisation: Annotated[
        Normalisation, Field(strict=False, description=f"use one of {_NORMALISATIONS}")
    ] = Normalisation.NONE
    precision: Words = ""


class GridTable(TrainingTable):
    """`[[runs]]`: every combination of four lists, with fields of their own beside them."""

    architectures: list[str] = Field(examples=[["topk"]])
    features: list[int] = Field(examples=[[512, 2048]])
    l0: list[int | float] = Field(examples=[[8, 16]])
    seeds: list[int] = Field(default=[0], examples=[[0, 1]])

    def axes(self) -> dict[str, Any]:
        """The four lists, by name."""
        return self.model_dump(include=_AXES)

    def training(self) -> dict[str, Any]:
        """The other fields that stand there, by name."""
        return self.model_dump(exclude=_AXES, exclude_unset=True)


_AXES = GridTable.model_fields.keys() - TrainingTable.model_fields.keys()


class PlanFile(_Table):
    """A whole plan."""

    model: Words
    hook_point: Words
    output_hook_point: PossibleWords = None
    skip: Annotated[bool, Field(description="give true or false")] = False
    name: PossibleWords = None
    model_name: PossibleWords = None
    corpus: Words = STDLIB
    context: Annotated[int | None, Field(ge=2, description="give a whole number of at least 2")] = (
        None
    )
    training: Annotated[TrainingTable, Field(description="give a table, headed [training]")] = (
        TrainingTable()
    )
    runs: list[GridTable] = []


def parse_plan(values: Mapping[str, Any]) -> PlanFile:
    """A plan of the values of its file.

    Raises:
        ValueError: they do not fit; a sentence that names the first field of those.
    """
    try:
        return PlanFile.model_validate(values)
    except ValidationError as error:
        raise ValueError(_sentence(error, values)) from None


def _sentence(error: ValidationError, values: Mapping[str, Any]) -> str:
    """What is wrong first, and what to write instead."""
    # An unknown name goes first: it is often the misspelt name of a field that is missing.
    faults = error.errors()
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    # Where it stands: a table, and the name of a field of it.
    table: type[_Table] = PlanFile
    match first["loc"]:
        case ("runs",) | ("runs", int()):
            if isinstance(values["runs"], Mapping):
                return "[runs] is a table alone: head each grid [[runs]], in double brackets."
            return f"runs is {values['runs']!r}: give tables, each headed [[runs]]."
        case ("runs", _, name, *_):
            table, heading = GridTable, "[[runs]]"
        case ("training", name, *_):
            table, heading = TrainingTable, "[training]"
        case (name, *_):
            heading = "the plan"
        case _:
            return f"{first['msg']}."
    # What is wrong there.
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(table.model_fields))
        return f"{heading} has an unknown {name!r}; known are {known}."
    field = table.model_fields[str(name)]
    if field.examples:
        return f"{heading} needs a list of {name}, such as {json.dumps(field.examples[0])}."
    if first["type"] == "missing":
        return f"{heading} names no {name}; add one."
    return f"{name} is {first['input']!r}: {field.description}."
