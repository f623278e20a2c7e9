"""What steering does on many prompts: arms compared, from the value of each prompt."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from app.errors import InvalidRequest
from app.exchange.report.bench import RecomputingBench
from app.exchange.report.comparison import NearFigure
from app.exchange.report.findings.kind import FindingKind, GatheredFinding, ReadFinding
from app.exchange.report.findings.named import plain_text
from app.exchange.report.schema import ReportPart
from app.rendering.addresses import experiment_address
from app.rendering.tokens import printable
from app.store.store import Store
from sae_core.audit.experiments.comparisons import ArmComparisons, OutcomeValues, compare_arms

MOST_VALUES = 200_000
_WHY = "sums are rounded in another order on other hardware"


class ComparedArm(ReportPart):
    """An arm, and the one that it controls; empty: it is no control."""

    name: str
    control_of: str


class ComparedOutcome(ReportPart):
    """An outcome with its value on each prompt in each arm; None where it is not known."""

    name: str
    about: str
    happens: bool
    values: tuple[tuple[float | None, ...], ...]


class ExperimentAsked(ReportPart):
    """What decides the figures: the dictionary of the plan, arms, values, and the seed of bootstrap
    and tests."""

    dictionary: str
    arms: tuple[ComparedArm, ...]
    outcomes: tuple[ComparedOutcome, ...]
    seed: int


class FoundMean(ReportPart):
    """An outcome in one arm; fields as in `sae_core/audit/experiments/comparisons.py`."""

    arm: str
    outcome: str
    prompts: int
    mean: float
    low: float | None
    high: float | None
    constant: str


class FoundDifference(ReportPart):
    """An outcome in one arm less the same in another; likewise."""

    arm: str
    outcome: str
    against: str
    difference: float
    low: float | None
    high: float | None
    joint_low: float | None
    joint_high: float | None
    effect: float | None
    differing: int
    p: float
    corrected: float


class ExperimentFound(ReportPart):
    """All figures."""

    means: tuple[FoundMean, ...]
    differences: tuple[FoundDifference, ...]


class ExperimentStated(ReportPart):
    """What the experiment is called, how many prompts and samples it has, and the plan and the
    checksums of what it was made with, as JSON. Its texts are drawn again by `--again`."""

    name: str
    title: str
    prompts: int
    samples: int
    plan: str
    provenance: str


Finding = ReadFinding[ExperimentAsked, ExperimentFound, ExperimentStated]


class ExperimentKind(FindingKind[ExperimentAsked, ExperimentFound, ExperimentStated]):
    """An experiment with the value of each prompt."""

    name = "experiment"
    asked = ExperimentAsked
    found = ExperimentFound
    stated = ExperimentStated

    def gather(
        self, store: Store, words: str
    ) -> GatheredFinding[ExperimentAsked, ExperimentFound, ExperimentStated]:
        """An experiment by its name."""
        view = store.audit.experiments.view(words)
        dictionary = store.dictionary(view.model, view.dictionary)
        if dictionary.checksum != view.checksum:
            raise InvalidRequest(
                f"The experiment {view.name} is of other weights than {dictionary.title} has by "
                "now: run it anew, or leave it out."
            )
        values, details = store.audit.experiments.values(view), view.details
        if values.size > MOST_VALUES:
            raise InvalidRequest(
                f"The experiment {view.name} has {values.size:,} values; a report takes "
                f"{MOST_VALUES:,}. Send its result file, which `featurescope experiment FILE "
                "--again` runs again."
            )
        return GatheredFinding(
            ExperimentAsked(
                dictionary=dictionary.title,
                arms=tuple(
                    ComparedArm(name=plain_text(arm.name), control_of=plain_text(arm.control_of))
                    for arm in details.arms
                ),
                outcomes=tuple(
                    ComparedOutcome(
                        name=plain_text(outcome.name),
                        about=plain_text(outcome.about),
                        happens=outcome.happens,
                        values=tuple(tuple(map(_known, row)) for row in own.tolist()),
                    )
                    for outcome, own in zip(details.outcomes, values, strict=False)
                ),
                seed=int(details.plan.get("seed", 0)),  # plans leave out what has its default
            ),
            _found(details.figures),
            ExperimentStated(
                name=view.name,
                title=plain_text(view.title),
                prompts=details.prompts,
                samples=details.samples,
                plan=json.dumps(details.plan, sort_keys=True),
                provenance=json.dumps(details.provenance, sort_keys=True),
            ),
            (dictionary,),
        )

    def titles(self, asked: ExperimentAsked) -> tuple[str, ...]:
        """The plan's dictionary."""
        return (asked.dictionary,)

    def claim(self, finding: Finding) -> str:
        """How many comparisons stand, and the one that is surest."""
        rows, stated = finding.found.differences, finding.stated
        stand = [row for row in rows if row.corrected <= 0.05]
        begin = (
            f"The experiment “{printable(stated.title)}” on {stated.prompts:,} prompts: "
            f"{len(stand)} of {len(rows)} comparisons stand at 0.05 after Holm"
        )
        if not stand:
            return f"{begin}."
        best = min(stand, key=lambda row: (row.corrected, -abs(row.effect or 0.0)))
        other = "the unsteered model" if best.against == "unsteered" else "its random control"
        ends = (
            ""
            if best.low is None or best.high is None
            else f" (95 % interval {best.low:+.3g} to {best.high:+.3g})"
        )
        return (
            f"{begin}; “{printable(best.arm)}” moves “{printable(best.outcome)}” by "
            f"{best.difference:+.3g}{ends} against {other}."
        )

    def command(self, finding: Finding) -> str:
        """What draws all texts again, from the result file."""
        return printable(f"featurescope experiment {finding.stated.name}.json --again")

    def address(self, finding: Finding) -> str:
        """Of its page."""
        return experiment_address(finding.stated.name)

    def recompute(self, finding: Finding, bench: RecomputingBench) -> dict[str, Any]:  # noqa: ARG002
        """All figures, from the values of the prompts."""
        asked = finding.asked
        arms = [arm.name for arm in asked.arms]
        controls: dict[str, list[str]] = {}
        for arm in asked.arms:
            if arm.control_of:
                controls.setdefault(arm.control_of, []).append(arm.name)
        outcomes = [
            OutcomeValues(
                outcome.name,
                np.array(
                    [[math.nan if v is None else v for v in row] for row in outcome.values],
                    dtype=np.float64,
                ).reshape(-1, len(arms)),
                outcome.happens,
            )
            for outcome in asked.outcomes
        ]
        made = _found(compare_arms(outcomes, arms, controls, asked.seed)).model_dump()
        again: dict[str, Any] = _near(made)
        return again


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _found(figures: ArmComparisons) -> ExperimentFound:
    return ExperimentFound(
        means=tuple(FoundMean.model_validate(_plain(asdict(row))) for row in figures.means),
        differences=tuple(
            FoundDifference.model_validate(_plain(asdict(row))) for row in figures.differences
        ),
    )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: plain_text(str(value))
        if isinstance(value, str)
        else _known(value)
        if isinstance(value, float)
        else value
        for name, value in row.items()
    }


def _near(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _near(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_near(inside) for inside in value]
    if isinstance(value, float):
        return NearFigure(value, abs(value) * 1e-6 + 1e-12, _WHY)
    return value
