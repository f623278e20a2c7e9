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
    """

    line: FeatureLine
    estimate: str
    exact: str
    bar: Markup
    checked: bool
    rounding: str


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
        complete: whether every change is exact.
    """

    lines: tuple[EffectLine, ...]
    total: int
    known: int
    hidden: int
    probability: str
    error: str
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
    best, sure = ranking.best, np.isfinite(ranking.exact)
    placed = [(place, features.row(ranking.names[place])) for place in ranking.order]
    active = [(place, row) for place, row in placed if row is not None]
    shown = active if query.everything else active[:MOST_EFFECTS]
    written = writer.lines(features, [row for _, row in shown], query.feature)
    lines = {line.described.name: line for line in written}
    largest = float(np.abs(best).max(initial=0.0))
    distance = np.abs(ranking.exact - ranking.estimates)[sure]
    return EffectsTable(
        lines=tuple(
            EffectLine(
                line=lines[name],
                estimate=nats(float(ranking.estimates[place])),
                exact=nats(float(ranking.exact[place])) if sure[place] else "",
                bar=signed_bar(float(best[place]), largest, bool(sure[place])),
                checked=name in query.together,
                rounding=(
                    drawn.dtype
                    if abs(float(best[place])) < (drawn := writer.underlines(name)).rounding
                    else ""
                ),
            )
            for place, _ in shown
            if (name := ranking.names[place]) in lines
        ),
        total=len(ranking.names),
        known=ranking.known,
        hidden=len(active) - len(shown),
        probability=percent(math.exp(p)) if math.isfinite(p := ranking.log_probability) else "",
        error=f"{distance.mean():.3g}" if len(distance) else "",
        complete=ranking.complete,
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
