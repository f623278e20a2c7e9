"""Blind ratings of features, as they go into the store and come out of it, and their rubric."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Criterion:
    """A question that is answered with a number.

    Attributes:
        key: its name in forms, columns and JSON.
        name: in headings.
        question: what is asked.
        anchors: what 0, 1, … stand for, up to the highest.
    """

    key: str
    name: str
    question: str
    anchors: tuple[str, ...]

    @property
    def highest(self) -> int:
        """The largest number."""
        return len(self.anchors) - 1


RUBRIC = (
    Criterion(
        "confidence",
        "Confidence",
        "How sure are you of your interpretation?",
        ("there is none", "a guess", "rather sure", "sure"),
    ),
    Criterion(
        "activations",
        "Activations",
        "How consistent are the contexts, over all bands, with it?",
        (
            "none fits",
            "a few of the strongest fit",
            "most of the strongest fit",
            "the strong half fits",
            "all but weak ones fit",
            "nearly all fit",
        ),
    ),
    Criterion(
        "logits",
        "Logit weights",
        "How consistent are the tokens that it raises with it?",
        ("not at all", "a few fit", "most fit", "nearly all fit"),
    ),
    Criterion(
        "specificity",
        "Specificity",
        "How specific is it?",
        (
            "it could be said of most text",
            "broad: a kind of text",
            "narrow: a topic or a role",
            "one token or one very particular situation",
        ),
    ),
)
"""The published rubric's four criteria and their ranges; the words for each number are ours."""

HIGHEST_TOTAL = sum(criterion.highest for criterion in RUBRIC)


class RaterKind(StrEnum):
    """What rates."""

    PERSON = "person"
    MODEL = "model"
    """A language model behind an endpoint."""
    PROGRAM = "program"
    """A script that follows a rule, for tests of the procedure."""


@dataclass(frozen=True)
class RubricScores:
    """The four answers; see `RUBRIC`."""

    confidence: int
    activations: int
    logits: int
    specificity: int

    @property
    def total(self) -> int:
        """Their sum, 0 to 14."""
        return self.confidence + self.activations + self.logits + self.specificity


@dataclass(frozen=True)
class NewRating:
    """What a rater says of an item.

    Attributes:
        rater: a name that the rater chose.
        scores: None: the item is skipped, or the rating failed.
        interpretation: what the feature means, in the rater's words; empty: not said.
        kind: what the rater is.
        failure: why a model's answer is no rating; empty: it is one.
        settings: of a model: endpoint, version of the prompt; JSON values.
    """

    rater: str
    scores: RubricScores | None
    interpretation: str = ""
    kind: RaterKind = RaterKind.PERSON
    failure: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RatingView(NewRating):
    """A rating as stored; the other attributes as in `NewRating`.

    Attributes:
        id: unique in all stores.
        item: what is rated.
        blind: whether the rater had seen no results of the study.
        changed: when it was given, seconds since 1970.
    """

    id: str = ""
    item: str = ""
    blind: bool = True
    changed: float = 0.0


@dataclass(frozen=True)
class KeptRating:
    """What became of a rating.

    Attributes:
        rating: as stored.
        over: a rating by the same rater that its sender had not seen, and that it now stands
            before; None: there is none. It is kept.
    """

    rating: RatingView
    over: RatingView | None = None


@dataclass(frozen=True)
class RatedSource:
    """A dictionary of a study.

    Attributes:
        subject: what people's words know it by, see `app/store/types/annotations.py`.
        model: name of the model, as it was when the study was made.
        dictionary: its name then.
        neurons: whether it is a neuron basis.
        hook_point: where it reads.
        digest: of its harvest then.
        alive: features that fired in that harvest.
        eligible: of these, those that fired often enough to be drawn.
        drawn: into the study.
        there: whether the store still has it.
        again: whether it was harvested otherwise since.
    """

    subject: str
    model: str
    dictionary: str
    neurons: bool
    hook_point: str
    digest: str
    alive: int
    eligible: int
    drawn: int
    there: bool = True
    again: bool = False

    @property
    def title(self) -> str:
        """`model/dictionary`."""
        return f"{self.model}/{self.dictionary}"


@dataclass(frozen=True)
class StudyView:
    """A study, without its items.

    Attributes:
        id: unique in all stores; in its address.
        title: what it is called.
        author: who made it; empty: not said.
        settings: how the items were drawn: `features` of each dictionary, `seed`, `matched`,
            `firings`; and `every_mark`, how they are shown: JSON values.
        sources: its dictionaries.
        created: seconds since 1970.
        withdrawn: whether it was put away.
        size: items.
    """

    id: str
    title: str
    author: str
    settings: Mapping[str, Any]
    sources: tuple[RatedSource, ...]
    created: float
    withdrawn: bool
    size: int

    @property
    def seed(self) -> int:
        """Of the draw, and of all intervals of its results."""
        return int(self.settings["seed"])

    @property
    def every_mark(self) -> bool:
        """Whether contexts show all firings, not only those they were drawn for."""
        return bool(self.settings["every_mark"])


@dataclass(frozen=True)
class RatingItem:
    """A feature of a study.

    Attributes:
        id: says nothing of the feature.
        subject: of its dictionary.
        index: in its dictionary.
    """

    id: str
    subject: str
    index: int


def in_order(items: Iterable[RatingItem], rater: str) -> list[RatingItem]:
    """The items in a random order of this rater's own, the same whenever the rater comes back."""
    return sorted(
        items, key=lambda item: hashlib.sha256(f"{rater}\n{item.id}".encode()).hexdigest()
    )
