"""Why a feature may fit what was typed."""

from __future__ import annotations

from enum import StrEnum


class SearchKind(StrEnum):
    """Why a feature may fit."""

    NUMBER = "number"
    LABELS = "labels"
    RULES = "rules"
    ON = "on"
    RAISES = "raises"


TITLES = {
    SearchKind.NUMBER: "By number",
    SearchKind.LABELS: "In labels and notes",
    SearchKind.RULES: "In rules",
    SearchKind.ON: "Fires on",
    SearchKind.RAISES: "Raises",
}
