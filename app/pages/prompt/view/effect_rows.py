"""Which features are responsible for one prediction: rows of estimates and exact changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from app.pages.prompt.active_features import ActiveFeatures
from app.pages.prompt.query import FeatureName, PromptQuery
from app.pages.prompt.ranking import EffectRanking
from app.pages.prompt.session import TogetherResult
from app.pages.prompt.view.rows import Described, FeatureLine, FeatureLines
from app.rendering.charts.bars import signed_bar
from app.rendering.numbers import nats, percent
from app.rendering.underlines import Underlines

MOST_EFFECTS = 40


@dataclass(frozen=True)
class EffectLine:
    """One feature and what ablating it alone does to the prediction.

    Attributes:
        line: the feature.
        estimate: first-order change, nats.
        exact: exact change; empty while it is not known.
        bar: the change, drawn; in outline while it is an estimate.
        checked: whether it belongs to the set that is ablated together.
        rounding: the model's dtype, where the change is no more than its rounding; else empty.
        astray: whether the estimate has the other sign than the exact change.
    """

    line: FeatureLine
    estimate: str
    exact: str
    bar: Markup
    checked: bool
    rounding: str
    astray: bool


@dataclass(frozen=True)
class EffectsTable:
    """The table of effects, as far as they are known.

    Attributes:
        lines: the features with the largest changes.
        total: features in question, as far as they are known.
        known: how many of these have an exact change by now.
        hidden: features that are not shown.
        probability: what the undisturbed model gives the prediction; empty before anything is
            known.
        error: mean distance of the estimates from the exact changes, nats; empty while unknown.
        astray: how many of the estimates shown have the other sign than the exact change.
        complete: whether every change is exact.
    """

    lines: tuple[EffectLine, ...]
    total: int
    known: int
    hidden: int
    probability: str
    error: str
    astray: int
    complete: bool


@dataclass(frozen=True)
class Joint:
    """What ablating a set of features at once does, beside the sum of what each does alone.

    Attributes:
        features: which ones, of one dictionary.
        together: joint change, nats.
        apart: sum of the single changes.
        difference: joint change minus sum.
        bars: both, drawn.
    """

    features: tuple[Described, ...]
    together: str
    apart: str
    difference: str
    bars: tuple[Markup, Markup]


def effects(
    ranking: EffectRanking,
    features: ActiveFeatures,
    writer: FeatureLines,
    query: PromptQuery,
) -> EffectsTable:
    """The table of what is known by now, largest change first.

    Args:
        ranking: the changes, as far as they are known.
        features: those active on the prompt.
        writer: of their lines.
        query: what the page was asked for.
    """
    best = ranking.best
    placed = [(place, features.row(ranking.names[place])) for place in ranking.order]
    active = [(place, row) for place, row in placed if row is not None]
    shown = active if query.everything else active[:MOST_EFFECTS]
    every = writer.lines(features, [row for _, row in shown], query.feature)
    lines = {line.described.name: line for line in every}
    largest = float(np.abs(best).max(initial=0.0))
    distance = np.abs(ranking.exact - ranking.estimates)[np.isfinite(ranking.exact)]
    written = [
        _line(
            lines[name],
            float(ranking.estimates[place]),
            float(ranking.exact[place]),
            largest,
            name in query.together,
            writer.underlines(name),
        )
        for place, _ in shown
        if (name := ranking.names[place]) in lines
    ]
    return EffectsTable(
        lines=tuple(written),
        total=len(ranking.names),
        known=ranking.known,
        hidden=len(active) - len(shown),
        probability=percent(math.exp(p)) if math.isfinite(p := ranking.log_probability) else "",
        error=f"{distance.mean():.3g}" if len(distance) else "",
        astray=sum(line.astray for line in written),
        complete=ranking.complete,
    )


def _line(
    line: FeatureLine,
    estimate: float,
    exact: float,
    largest: float,
    checked: bool,
    drawn: Underlines,
) -> EffectLine:
    """A row of the table.

    Args:
        line: the feature.
        estimate: first-order change, nats.
        exact: exact change; NaN while it is not known.
        largest: of all changes, for the bar.
        checked: whether it belongs to the set.
        drawn: which changes are rounding.
    """
    sure = math.isfinite(exact)
    best = exact if sure else estimate
    rounding = abs(best) < drawn.rounding
    return EffectLine(
        line=line,
        estimate=nats(estimate),
        exact=nats(exact) if sure else "",
        bar=signed_bar(best, largest, sure),
        checked=checked,
        rounding=drawn.dtype if rounding else "",
        astray=sure and not rounding and estimate * exact < 0,
    )


def joint(result: TogetherResult, known: Mapping[FeatureName, Described]) -> Joint:
    """A set of one dictionary's features, ablated at once, beside the sum of single ablations."""
    together, apart = result.together, math.fsum(result.singles)
    largest = max(abs(apart), abs(together))
    return Joint(
        features=tuple(known[name] for name in result.features if name in known),
        together=nats(together),
        apart=nats(apart),
        difference=nats(together - apart),
        bars=(signed_bar(together, largest, True), signed_bar(apart, largest, True)),
    )
