"""What judges are shown of a feature, and what they say: types and their tally."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.jobs.explain.endpoint import EndpointFailure
from app.jobs.explain.excerpts import Excerpt
from sae_core.evaluation.label_scores import LabelScore

SHOWN = 5  # excerpts, or labels, of a question


class ScorerKind(StrEnum):
    """The ways of scoring a label."""

    DETECTION = "detection"
    FUZZING = "fuzzing"
    INTRUDER = "intruder"
    SIMULATION = "simulation"
    EMBEDDING = "embedding"
    INTERVENTION = "intervention"


CHANCE: Mapping[ScorerKind, float] = {
    ScorerKind.DETECTION: 0.5,
    ScorerKind.FUZZING: 0.5,
    ScorerKind.INTRUDER: 1 / SHOWN,
    ScorerKind.SIMULATION: 0.0,
    ScorerKind.EMBEDDING: 0.5,
    ScorerKind.INTERVENTION: 1 / SHOWN,
}
"""What a judge scores that guesses."""


@dataclass(frozen=True)
class HeldOut:
    """Excerpts of a feature that its explainer did not see.

    Attributes:
        firing: over the whole range of activation.
        hard: in which similar features fire, but not this one.
        random: in which it does not fire, from anywhere.
        steered: texts that the model wrote while the feature was pushed.
        shown: excerpts that are shown at once where each is told apart: fewer for small models.
    """

    firing: Sequence[Excerpt]
    hard: Sequence[Excerpt]
    random: Sequence[Excerpt]
    steered: Sequence[str] = ()
    shown: int = SHOWN

    @property
    def silent(self) -> Sequence[Excerpt]:
        """All in which it does not fire."""
        return [*self.hard, *self.random]


@dataclass(frozen=True)
class Judgement:
    """What a judge says of a label.

    Attributes:
        score: with its interval.
        failures: how many questions failed, by reason.
        excerpts: what was said of each, JSON values: `tokens`, `activations`, `firing`, `said`.
    """

    score: LabelScore
    failures: Mapping[str, int] = field(default_factory=dict)
    excerpts: Sequence[Mapping[str, Any]] = ()


class Said:
    """What was said so far, and what failed."""

    def __init__(self) -> None:
        self.actual: list[bool] = []
        self.told: list[bool] = []
        self.failures: dict[str, int] = {}
        self.excerpts: list[dict[str, Any]] = []

    def fail(self, error: EndpointFailure) -> None:
        """Count a question that failed, by its reason."""
        reason = str(error)
        self.failures[reason] = self.failures.get(reason, 0) + 1

    def add(self, excerpt: Excerpt, actual: bool, told: bool) -> None:
        """Note what was said of an excerpt, and what is true."""
        self.actual.append(actual)
        self.told.append(told)
        self.excerpts.append(
            {
                "tokens": excerpt.tokens,
                "activations": [float(str(value)) for value in excerpt.values],
                "firing": actual,
                "said": told,
            }
        )

    def judgement(self, score: LabelScore) -> Judgement:
        """The judgement with this score."""
        return Judgement(score, self.failures, self.excerpts)
