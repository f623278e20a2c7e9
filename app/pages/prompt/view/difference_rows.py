"""Rows of features that differ between two prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.pages.prompt.active_features import ActiveFeatures
from app.pages.prompt.differences import Difference, Kind
from app.pages.prompt.query import FeatureName, PromptQuery
from app.pages.prompt.view.rows import FeatureLine, FeatureLines
from app.rendering.numbers import signed

MOST_DIFFERENCES = 25  # of a kind


@dataclass(frozen=True)
class DifferenceLine:
    """A feature that differs between two prompts.

    Attributes:
        first: the feature on the first prompt; None where it does not fire.
        second: on the second.
        change: of its largest activation, in per cent of that in the harvest.
    """

    first: FeatureLine | None
    second: FeatureLine | None
    change: str

    @property
    def line(self) -> FeatureLine:
        """The feature where it fires more surely: on the second prompt, else on the first."""
        line = self.second or self.first
        assert line is not None
        return line


def difference_lines(
    differences: Mapping[Kind, Sequence[Difference]],
    sides: tuple[tuple[FeatureLines, ActiveFeatures], tuple[FeatureLines, ActiveFeatures]],
    query: PromptQuery,
) -> dict[Kind, list[DifferenceLine]]:
    """The rows of each kind, the first or all.

    Args:
        differences: by kind.
        sides: for each prompt what writes its rows, and what fires on it.
        query: what is asked.
    """
    return {
        kind: _of_kind(every if query.everything else every[:MOST_DIFFERENCES], sides, query)
        for kind, every in differences.items()
    }


def _of_kind(
    differences: Sequence[Difference],
    sides: tuple[tuple[FeatureLines, ActiveFeatures], tuple[FeatureLines, ActiveFeatures]],
    query: PromptQuery,
) -> list[DifferenceLine]:
    written: list[dict[FeatureName, FeatureLine]] = []
    for writer, active in sides:
        rows = [active.row(difference.feature) for difference in differences]
        lines = writer.lines(active, [row for row in rows if row is not None], query.feature)
        written.append({line.described.name: line for line in lines})
    return [
        DifferenceLine(
            written[0].get(difference.feature),
            written[1].get(difference.feature),
            _points(difference),
        )
        for difference in differences
        if any(difference.feature in side for side in written)
    ]


def _points(difference: Difference) -> str:
    """A change of a share, in points of per cent."""
    return f"{signed(100 * difference.change, 0)} %"
