"""An experiment's plan, from its file: TOML, YAML, or the result of an experiment that was run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from app.errors import InvalidRequest
from app.jobs.audit.experiments.measuring import AskedOutcome, asked_outcome
from app.jobs.audit.experiments.plan_schema import PlanTable, parse_plan
from app.jobs.audit.experiments.prompts import PromptFile, read_prompts
from sae_core.errors import ExperimentError

_LARGEST = 2**20  # bytes


@dataclass(frozen=True)
class ExperimentPlan:
    """What is asked for, with its prompts.

    Attributes:
        table: the plan.
        outcomes: understood.
        prompts: all of them.
        folder: that the names of files are relative to.
    """

    table: PlanTable
    outcomes: tuple[AskedOutcome, ...]
    prompts: PromptFile
    folder: Path

    @property
    def title(self) -> str:
        """What the experiment is called."""
        return self.table.name or self.prompts.name.rpartition(".")[0] or self.prompts.name

    @property
    def asked(self) -> dict[str, Any]:
        """The plan as JSON values, without what has its default."""
        plain: dict[str, Any] = self.table.model_dump(mode="json", exclude_defaults=True)
        return plain


def read_plan(path: Path) -> ExperimentPlan:
    """A plan and its prompts from files; names in it are relative to its folder.

    Raises:
        InvalidRequest: it cannot be read or makes no sense; the sentence says what.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidRequest(f"The plan {path} is larger than {_LARGEST // 1024:,} KiB.")
        text = path.read_text("utf-8")
        values = (
            yaml.load(text, _PlainYaml)  # noqa: S506 - a loader of plain values
            if path.suffix.lower() in (".yaml", ".yml")
            else tomllib.loads(text)
        )
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InvalidRequest(f"The plan {path} cannot be read: {reason:.300}.") from error
    if not isinstance(values, dict):
        raise InvalidRequest(f"The plan {path} has no fields: docs/experiments.md shows one.")
    try:
        return planned(values, path.parent)
    except ValueError as error:
        raise InvalidRequest(f"The plan {path} makes no sense: {error}") from error


def planned(values: Mapping[str, Any], folder: Path) -> ExperimentPlan:
    """A plan of values, with the prompts of the file that it names.

    Raises:
        ValueError: the values make no sense.
        InvalidRequest: the prompts cannot be read.
    """
    table = parse_plan(values)
    return with_prompts(
        table, read_prompts(folder / table.prompts, fields_of(table)), folder=folder
    )


def with_prompts(table: PlanTable, prompts: PromptFile, folder: Path) -> ExperimentPlan:
    """A plan with its prompts.

    Raises:
        InvalidRequest: an outcome makes no sense, or two have one name.
    """
    try:
        outcomes = tuple(map(asked_outcome, table.outcomes))
    except ExperimentError as error:
        raise InvalidRequest(f"The plan makes no sense: {error}") from error
    names = [outcome.name for outcome in outcomes]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidRequest(f"Two outcomes are called {min(twice)!r:.80}: name them differently.")
    return ExperimentPlan(table, outcomes, prompts, folder)


def fields_of(table: PlanTable) -> list[str]:
    """What every line of the prompts has to say besides."""
    return sorted({own.answer_field for own in table.outcomes if own.answer_field})


def read_json(path: Path) -> Any:
    """A file's JSON value.

    Raises:
        InvalidRequest: it cannot be read, or is none.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path} cannot be read as JSON: {error}.") from error


class _PlainYaml(yaml.SafeLoader):  # type: ignore[misc]
    """Plain values, without aliases: a few lines of those can stand for more than memory holds."""

    @override
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*) are not read in plans")
        return super().compose_node(parent, index)
