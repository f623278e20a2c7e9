"""An experiment as its page has it: outcomes as tables, dose response, side effects."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from app.errors import NotFound
from app.pages.audit.experiments.sentences import (
    ALPHA,
    chance,
    constant_sentence,
    figure,
    span,
    told,
)
from app.pages.audit.experiments.whiskers import common_scale, whisker
from app.rendering.addresses import dictionary_address, experiment_address
from app.rendering.charts.plots import Axis, Line, Mark, plot, swatch
from app.rendering.markup import trusted
from app.rendering.numbers import count
from app.rendering.tokens import printable
from app.store.store import Store
from app.store.written.audit.experiments.records import (
    ArmRecord,
    EditRecord,
    ExperimentView,
    OutcomeRecord,
)
from sae_core.audit.experiments.comparisons import Against, ArmDifference, ArmMean
from sae_core.audit.experiments.side_effects import ArmSideEffect


@dataclass(frozen=True)
class ComparisonCell:
    """How far an arm is from another one.

    Attributes:
        picture: dot and whiskers.
        text: the difference with its interval.
        chance: the corrected p-value in words.
        told: whether it stands after the correction.
        effect: the standardised difference; empty: none.
        differing: prompts that differ.
    """

    picture: Markup
    text: str
    chance: str
    told: bool
    effect: str
    differing: str


@dataclass(frozen=True)
class ArmRow:
    """An outcome in one arm.

    Attributes:
        arm: which.
        mean: over prompts, with its interval; or what is the same on every prompt.
        unsteered: against the unsteered model; None: it is that.
        control: against its controls; None: it has none.
    """

    arm: ArmRecord
    mean: str
    unsteered: ComparisonCell | None
    control: ComparisonCell | None


@dataclass(frozen=True)
class OutcomeTables:
    """An outcome in all arms.

    Attributes:
        outcome: which.
        rows: one for each arm.
        has_controls: whether any arm has a control.
        dose: the outcome by strength; empty: no arm has several.
        key: of the dose's lines: picture and name.
    """

    outcome: OutcomeRecord
    rows: tuple[ArmRow, ...]
    has_controls: bool
    dose: Markup
    key: tuple[tuple[Markup, str], ...]


@dataclass(frozen=True)
class SideEffectRow:
    """One arm on neutral text: figures with intervals, as text."""

    arm: str
    perplexity: str
    kl: str


@dataclass(frozen=True)
class ExperimentPage:
    """An experiment's page but for its texts.

    Attributes:
        view: as it was kept.
        known: whether the store has its dictionary.
    """

    view: ExperimentView
    known: bool

    @property
    def address(self) -> str:
        """Of the page."""
        return experiment_address(self.view.name)

    @property
    def of(self) -> str:
        """Address of the dictionary; empty: the store has it no longer."""
        return dictionary_address(self.view.model, self.view.dictionary) if self.known else ""

    @property
    def summary(self) -> str:
        """What was run, and how many comparisons stand."""
        details = self.view.details
        samples = f" × {count(details.samples)} samples" if details.samples > 1 else ""
        rows = details.figures.differences
        standing = sum(map(told, rows))
        equal = int(details.provenance.get("prompts", {}).get("equal", 0))
        alike = f" {count(equal)} prompts say what another one says." if equal else ""
        return (
            f"{count(details.prompts)} prompts × {count(len(details.arms))} arms{samples}: each "
            f"prompt was continued by the unsteered model and under every arm, with the same "
            f"random numbers.{alike} {count(standing)} of {count(len(rows))} comparisons stand "
            f"after Holm’s correction at {ALPHA:g}."
        )

    @cached_property
    def outcomes(self) -> tuple[OutcomeTables, ...]:
        """All outcomes."""
        return tuple(map(self._outcome, self.view.details.outcomes))

    @property
    def side_effects(self) -> tuple[SideEffectRow, ...]:
        """Every arm on neutral text."""
        return tuple(map(_side_effect, self.view.details.side_effects))

    @property
    def plan(self) -> str:
        """The plan as it was asked, as JSON."""
        return printable(json.dumps(self.view.details.plan, indent=1, ensure_ascii=False))

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """Checksums and versions: name and value."""
        rows = []
        for name, value in self.view.details.provenance.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key} {own}" for key, own in value.items())
            elif isinstance(value, list):
                value = "; ".join(" ".join(map(str, dict(one).values())) for one in value)
            rows.append((printable(name), printable(str(value) or "none")))
        return rows

    def edits(self, arm: ArmRecord) -> list[tuple[str, str]]:
        """What an arm does: in words, and the address of the feature; empty: it has none."""
        return [(_edit(edit), self._feature(edit)) for edit in arm.edits]

    def _feature(self, edit: EditRecord) -> str:
        if edit.feature < 0 or not self.known:
            return ""
        return dictionary_address(self.view.model, edit.dictionary, edit.feature)

    def _outcome(self, outcome: OutcomeRecord) -> OutcomeTables:
        details = self.view.details
        means = {row.arm: row for row in details.figures.means if row.outcome == outcome.name}
        apart = [row for row in details.figures.differences if row.outcome == outcome.name]
        scale = common_scale(
            [end for row in apart for end in (row.joint_low, row.joint_high, row.difference)]
        )
        cells = {(row.arm, row.against): _cell(row, outcome, scale) for row in apart}
        dose, key = _dose(outcome, details.arms, means)
        return OutcomeTables(
            outcome=outcome,
            rows=tuple(
                ArmRow(
                    arm,
                    _mean(means[arm.name], outcome),
                    cells.get((arm.name, Against.UNSTEERED)),
                    cells.get((arm.name, Against.CONTROL)),
                )
                for arm in details.arms
            ),
            has_controls=any(row.against is Against.CONTROL for row in apart),
            dose=dose,
            key=key,
        )


def experiment_page(view: ExperimentView, store: Store) -> ExperimentPage:
    """The page of an experiment."""
    try:
        known = store.dictionary(view.model, view.dictionary).checksum == view.checksum
    except NotFound:
        known = False
    return ExperimentPage(view, known)


def _mean(row: ArmMean, outcome: OutcomeRecord) -> str:
    value = figure(row.mean, outcome)
    if said := constant_sentence(row, outcome):
        return f"{value}: {said}"
    return f"{value} ({span(row.low, row.high, outcome, signed=False)})"


def _cell(row: ArmDifference, outcome: OutcomeRecord, scale: tuple[float, float]) -> ComparisonCell:
    between = span(row.low, row.high, outcome)
    if row.differing == 0:
        text = "no prompt differs"
    elif between:
        text = f"{figure(row.difference, outcome, signed=True)} ({between})"
    else:
        text = f"{figure(row.difference, outcome, signed=True)} on every prompt"
    return ComparisonCell(
        picture=whisker(
            row.difference, (row.low, row.high), (row.joint_low, row.joint_high), scale
        ),
        text=text,
        chance="" if row.differing == 0 else chance(row.corrected),
        told=told(row),
        effect="" if math.isnan(row.effect) else f"{row.effect:+.2f}".replace("-", "−"),
        differing=count(row.differing),
    )


def _dose(
    outcome: OutcomeRecord, arms: tuple[ArmRecord, ...], means: dict[str, ArmMean]
) -> tuple[Markup, tuple[tuple[Markup, str], ...]]:
    """An outcome by strength, a line for each group of arms with several strengths."""
    groups: dict[str, list[ArmRecord]] = {}
    for arm in arms:
        if arm.group:
            groups.setdefault(arm.group, []).append(arm)
    several = {name: own for name, own in groups.items() if len(own) > 1}
    if not several:
        return Markup(""), ()
    factor = 100 if outcome.happens else 1
    lines, marks, key = [], [], []
    for style, (name, own) in enumerate(several.items()):
        points = sorted((arm.strength, factor * means[arm.name].mean) for arm in own)
        lines.append(Line(printable(name), style, points))
        marks += [Mark(f"{printable(name)}: {y:.4g}", style, x, y) for x, y in points]
        key.append((trusted(swatch(style)), printable(name)))
    base = factor * means[arms[0].name].mean
    ends = [min(m.x for m in marks), max(m.x for m in marks)]
    lines.append(Line("unsteered", 7, [(end, base) for end in ends], faint=True))
    key.append((trusted(swatch(7, mark=False)), "unsteered"))
    unit = ", %" if outcome.happens else ""
    drawn = plot(
        f"{printable(outcome.name)} by strength",
        Axis("strength, multiples of the maximum", zero=False),
        Axis(f"{printable(outcome.name)[:40]}{unit}", zero=False),
        lines,
        marks,
    )
    return trusted(drawn), tuple(key)


def _side_effect(row: ArmSideEffect) -> SideEffectRow:
    return SideEffectRow(
        row.arm,
        _with_interval(row.perplexity, row.perplexity_low, row.perplexity_high),
        _with_interval(row.kl, row.kl_low, row.kl_high),
    )


def _with_interval(value: float, low: float, high: float) -> str:
    between = "" if math.isnan(low) or low == high else f" ({low:.4g} to {high:.4g})"
    return f"{value:.4g}{between}"


def _edit(edit: EditRecord) -> str:
    if edit.feature >= 0:
        what = f"{edit.dictionary}/{edit.feature}"
    elif edit.random >= 0:
        what = f"a random direction (seed {edit.random})"
    else:
        what = f"the direction of the contrast {edit.contrast}"
    if edit.method == "clamp" and edit.strength == 0:
        return printable(f"{what} taken out")
    return printable(f"{edit.method} {what} × {edit.strength:g}")
