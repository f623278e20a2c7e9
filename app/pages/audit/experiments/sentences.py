"""What experiments found, in words."""

from __future__ import annotations

import math

from app.rendering.tokens import printable
from app.store.written.audit.experiments.records import ExperimentDetails, OutcomeRecord
from sae_core.audit.experiments.comparisons import Against, ArmDifference, ArmMean, Constant

ALPHA = 0.05
_UNITS = {"length": " tokens"}


def figure(value: float, outcome: OutcomeRecord, signed: bool = False) -> str:
    """A value of an outcome: a share in per cent where it lies between 0 and 1."""
    if math.isnan(value):
        return "–"
    sign = "+" if signed and value > 0 else ""
    if outcome.happens:
        percent = 100 * value
        digits = 1 if abs(percent) >= 1 or percent == 0 else 2
        text = f"{percent:.{digits}f}".replace("-", "−")
        return f"{sign}{text} %"
    text = f"{value:.4g}".replace("-", "−")
    return f"{sign}{text}"


def span(low: float, high: float, outcome: OutcomeRecord, signed: bool = True) -> str:
    """An interval; empty where there is none."""
    if math.isnan(low):
        return ""
    return f"{figure(low, outcome, signed)} to {figure(high, outcome, signed)}"


def chance(p: float) -> str:
    """A p-value in words."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def told(row: ArmDifference) -> bool:
    """Whether a comparison stands after the correction."""
    return row.corrected <= ALPHA


def constant_sentence(row: ArmMean, outcome: OutcomeRecord) -> str:
    """What is said of an outcome that is the same on every prompt; empty: it is not."""
    match row.constant:
        case Constant.NEVER:
            most = figure(row.high, outcome)
            return f"never, on {row.prompts:,} prompts: at most {most} with 95 % confidence"
        case Constant.ALWAYS:
            least = figure(row.low, outcome)
            return f"always, on {row.prompts:,} prompts: at least {least} with 95 % confidence"
        case Constant.SAME:
            return f"the same on all {row.prompts:,} prompts"
        case _:
            return ""


def difference_sentence(row: ArmDifference, outcome: OutcomeRecord) -> str:
    """A comparison in a sentence."""
    than = "the unsteered model" if row.against is Against.UNSTEERED else "its random control"
    head = f"{printable(row.outcome)}, {printable(row.arm)}"
    if row.differing == 0:
        return f"{head}: no prompt differs from {than}."
    between = span(row.low, row.high, outcome)
    between = f" ({between})" if between else ", the same on every prompt"
    decided = "" if told(row) else "; no more than chance"
    return (
        f"{head}: {figure(row.difference, outcome, signed=True)}{between} against {than}, "
        f"corrected {chance(row.corrected)}{decided}."
    )


def difference_sentences(details: ExperimentDetails) -> list[str]:
    """All comparisons of arms that are no controls."""
    controls = {arm.name for arm in details.arms if arm.control_of}
    outcomes = {outcome.name: outcome for outcome in details.outcomes}
    return [
        difference_sentence(row, outcomes[row.outcome])
        for row in details.figures.differences
        if row.arm not in controls
    ]
