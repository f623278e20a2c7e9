"""Lists of features as JSON: what is asked and what is answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from app.web.schema import Answer, Printable, Question, whole

ListText = Annotated[str, AfterValidator(whole)]


class ListSummary(Answer):
    """A list of features, without them."""

    name: str = Field(description="In its address.", examples=["starred"])
    title: str
    note: str
    changed: float = Field(description="Seconds since 1970; 0: never.")
    withdrawn: bool = Field(description="Whether it was put away.")
    size: int = Field(description="Features in it.")


class ListedFeature(Answer):
    """A feature in a list."""

    subject: str = Field(
        description="What labels know its dictionary by: a SHA-256 of its weights."
    )
    index: int
    model: Printable
    dictionary: Printable = Field(description="As it is called now, or, where it is gone, was.")
    there: bool = Field(description="Whether the store still has that dictionary.")
    label: str = Field(description="Its best label; empty: not said yet.")
    note: str = Field(description="Why it is in the list; empty: not said.")
    address: str = Field(description="Of its page; empty: there is none any more.")


class ListedFirings(Answer):
    """Where a feature of a list fires on a text."""

    model: Printable
    dictionary: Printable
    index: int
    label: str = Field(description="Its best label; empty: not said yet.")
    tokens: list[str] = Field(description="Of the text, as this dictionary's model reads it.")
    positions: list[int] = Field(description="Of the tokens on which it fires, ascending.")
    activations: list[float] = Field(description="There, in the model's units.")
    maximum: float = Field(description="Its largest activation in the harvest.")


class ListFirings(Answer):
    """Where the features of a list fire on a text, in the list's order."""

    features: list[ListedFirings]
    problem: str = Field(description="Why others of the list could not be asked; empty: all were.")


class FeatureListAnswer(ListSummary):
    """A list with its features, in order."""

    items: list[ListedFeature]
    tested: ListFirings | None = Field(
        default=None, description="Where they fire on the text that was given; null: none was."
    )


class Lists(Answer):
    """All lists, those that were put away last."""

    lists: list[ListSummary]


class ListQuestion(Question):
    """A list to be made or described anew."""

    title: ListText = Field(examples=["Quotes and docstrings"])
    note: ListText = ""


class NewListQuestion(ListQuestion):
    """A list to be made, empty or of some features of a dictionary."""

    model: ListText = Field(default="", description="Of the features; empty: the list is empty.")
    dictionary: ListText = ""
    features: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(), examples=[[12, 40]])


class ItemQuestion(Question):
    """A feature to be put into a list."""

    model: ListText
    dictionary: ListText
    feature: int = Field(ge=0)
    note: ListText | None = Field(default=None, description="Null: the note that it has.")


class TestQuestion(Question):
    """A text on which a list is tested."""

    text: ListText = Field(examples=["def f(self):"])


class PlaceQuestion(Question):
    """Where a feature of a list goes."""

    place: int = Field(ge=0, description="From 0; too far is the end.")
