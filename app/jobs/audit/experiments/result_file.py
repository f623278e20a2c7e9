"""An experiment as a file: all that it takes to see its figures, and to run it again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.jobs.audit.experiments.plan import ExperimentPlan, read_json, with_prompts
from app.jobs.audit.experiments.plan_schema import parse_plan
from app.jobs.audit.experiments.prompts import FilePrompt, prompt_file
from app.store.written.audit.experiments.records import (
    ExperimentDetails,
    ExperimentRecord,
    PromptTexts,
    details_of,
    texts_of,
)
from sae_core.errors import ExperimentError
from sae_core.files.atomic import atomic_file

KIND = "featurescope experiment"
FORMAT = 1
_CLOSE = 1e-9


@dataclass(frozen=True)
class ExperimentFile:
    """What a file of an experiment holds.

    Attributes:
        title: what it is called.
        details: all but texts and values.
        texts: of every prompt.
        values: as in `ExperimentRecord`.
        neutral: tokens of the neutral texts.
    """

    title: str
    details: ExperimentDetails
    texts: tuple[PromptTexts, ...]
    values: NDArray[np.float64]
    neutral: tuple[tuple[int, ...], ...]

    def plan(self) -> ExperimentPlan:
        """The plan, with the prompts that the file holds.

        Raises:
            InvalidRequest: it makes no sense.
        """
        try:
            table = parse_plan(self.details.plan)
        except ValueError as error:
            raise InvalidRequest(f"The file's plan makes no sense: {error}") from error
        prompts = [FilePrompt(t.number + 1, t.said, t.fields) for t in self.texts]
        return with_prompts(table, prompt_file(table.prompts, prompts), Path())


def write_result(path: Path, record: ExperimentRecord, neutral: Sequence[Sequence[int]]) -> None:
    """Write an experiment to a file, the same bytes for the same experiment.

    Raises:
        DiskError: it cannot be written.
    """
    value = {
        "kind": KIND,
        "format": FORMAT,
        "title": record.title,
        "details": record.details.as_json(),
        "texts": [asdict(one) for one in record.texts],
        "neutral": neutral,
        "values": [
            [[None if math.isnan(x) else x for x in row] for row in rows]
            for rows in record.values.tolist()
        ],
    }
    with atomic_file(path) as draft:
        draft.write_text(
            json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n", encoding="ascii"
        )


def read_result(path: Path) -> ExperimentFile:
    """What such a file holds.

    Raises:
        InvalidRequest: it is none, or damaged.
    """
    value: Any = read_json(path)
    if not isinstance(value, dict) or value.get("kind") != KIND or value.get("format") != FORMAT:
        raise InvalidRequest(
            f"{path} is no result of an experiment that this version reads: their names "
            "begin with result-."
        )
    try:
        details = details_of(value["details"])
        texts = texts_of(value["texts"])
        values = np.array(
            [
                [[math.nan if x is None else float(x) for x in row] for row in rows]
                for rows in value["values"]
            ],
            dtype=np.float64,
        )
        shape = (len(details.outcomes) + 1, len(texts), len(details.arms))
        neutral = tuple(tuple(map(int, text)) for text in value["neutral"])
        return ExperimentFile(str(value["title"]), details, texts, values.reshape(shape), neutral)
    except (ExperimentError, KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"{path} is damaged: {error}") from error


def differences(before: ExperimentFile, now: ExperimentRecord) -> list[str]:
    """What differs between two runs of one plan, in sentences; none: nothing does."""
    said = []
    for name, value in before.details.provenance.items():
        other = now.details.provenance.get(name)
        if value != other:
            said.append(f"{name}: {_short(value)}, now {_short(other)}.")
    if before.details.arms != now.details.arms:
        said.append("The arms come out differently: lists, contrasts or harvests have changed.")
        return said
    pairs = zip(before.texts, now.texts, strict=True)
    changed = sum(
        a != b
        for one, other in pairs
        for a_arm, b_arm in zip(one.texts, other.texts, strict=True)
        for a, b in zip(a_arm, b_arm, strict=True)
    )
    total = len(before.texts) * len(before.details.arms) * before.details.samples
    if changed:
        said.append(f"{changed:,} of {total:,} texts differ.")
    for old, new in zip(
        before.details.figures.differences, now.details.figures.differences, strict=True
    ):
        if not math.isclose(old.difference, new.difference, rel_tol=_CLOSE, abs_tol=_CLOSE):
            said.append(
                f"{old.outcome}, {old.arm} against {old.against}: {old.difference:.6g}, now "
                f"{new.difference:.6g}."
            )
    return said


def _short(value: Any) -> str:
    return f"{json.dumps(value)[:80]}"
