"""What lists show of a feature's rule: a frozen value, no queries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RuleBrief:
    """A rule in a row.

    Attributes:
        sentence: what it says.
        f1: on held-out documents.
        above: whether it is above its null.
    """

    sentence: str
    f1: float
    above: bool
