"""Labels and comments as JSON: what is asked and what is answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.store.types.annotations import LabelKind
from app.web.schema import Answer, Question, whole

Written = Annotated[str, AfterValidator(whole)]


class Label(Answer):
    """A label of a feature."""

    id: str = Field(description="Unique in all stores.")
    index: int = Field(description="Of the feature.")
    kind: LabelKind = Field(description="Where it comes from.")
    text: str = Field(examples=["the first argument of a method"])
    note: str
    author: str = Field(description="As its author chose to be called; empty: not said.")
    created: float = Field(description="Seconds since 1970; 0 or less: not known.")
    changed: float = Field(description="When it got this text; likewise.")
    version: int = Field(description="Counts its changes, from 1; an edit names it.")
    withdrawn: bool
    score: int = Field(description="Votes for it less those against it.")
    votes: dict[str, int] = Field(description="1 or -1 by voter.")


class LabelStateAnswer(Answer):
    """A label as it was after one change."""

    id: str = Field(description="To restore it.")
    number: int
    text: str
    note: str
    author: str
    changed: float
    withdrawn: bool


class LabelHistory(Answer):
    """All that a label was, the newest first."""

    versions: list[LabelStateAnswer]


class Comment(Answer):
    """A comment on a feature, or on one of its examples."""

    id: str
    index: int = Field(description="Of the feature.")
    context: str = Field(description="Empty, or `FINGERPRINT/N_CTX/WINDOW` of the example.")
    quote: str = Field(description="Where the example lies, in words.")
    text: str
    author: str
    created: float = Field(description="Seconds since 1970.")
    withdrawn: bool


class SaidOfFeature(Answer):
    """All that people say of a feature."""

    labels: list[Label] = Field(description="The best first; those taken back last.")
    comments: list[Comment] = Field(description="The oldest first.")


class LabelQuestion(Question):
    """A label to be kept."""

    text: Written = Field(examples=["the first argument of a method"])
    note: Written = ""
    author: Written = Field(default="", description="A name; empty: none.")


class LabelEditQuestion(LabelQuestion):
    """A label as it shall be."""

    version: int = Field(description="The version that was read: `version` of the label.")


class LabelEdited(Answer):
    """What became of an edit."""

    label: Label = Field(description="The label that holds the text that was sent.")
    beside: Label | None = Field(
        description="The label that was to be edited, where somebody else changed it meanwhile: "
        "both are kept, and `label` is a new one. Null: it was edited."
    )


class SignatureQuestion(Question):
    """Who does it."""

    author: Written = ""


class RestoreQuestion(SignatureQuestion):
    """Which version a label becomes."""

    version: str = Field(
        default="",
        description="Id of a version; empty: the one before the present one, or, where the label "
        "was taken back, the one that was.",
    )


class VoteQuestion(Question):
    """A vote; each name has one for each label."""

    author: Written = Field(examples=["Ada"])
    value: Literal[-1, 0, 1] = Field(description="For it, against it, or no vote any longer.")


class CommentQuestion(Question):
    """A comment to be kept."""

    text: Written
    author: Written = ""
    group: Written = Field(default="", description="Of the example; empty: on the whole feature.")
    number: int = Field(default=0, ge=0, description="Of the example in its group, from 0.")
