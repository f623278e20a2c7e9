"""Blind ratings as JSON: what is asked and what is answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from app.store.types.ratings import RaterKind
from app.web.schema import Answer, Printable, Question, whole

RatingText = Annotated[str, AfterValidator(whole)]


class ScoresAnswer(Answer):
    """The four answers of the rubric."""

    confidence: int = Field(description="0 to 3.")
    activations: int = Field(description="0 to 5.")
    logits: int = Field(description="0 to 3.")
    specificity: int = Field(description="0 to 3.")
    total: int = Field(description="0 to 14.")


class RatingAnswer(Answer):
    """A rating of an item."""

    id: str = Field(description="Unique in all stores.")
    item: str
    rater: str
    kind: RaterKind
    scores: ScoresAnswer | None = Field(description="Null: skipped, or failed.")
    interpretation: str
    failure: str = Field(description="Why a model's answer is no rating; empty: it is one.")
    blind: bool = Field(description="Whether its rater had seen no results.")
    changed: float = Field(description="Seconds since 1970.")


class RaterAnswer(Answer):
    """How far a rater is."""

    name: str
    kind: RaterKind
    rated: int
    skipped: int
    failed: int
    unblinded: bool = Field(description="Whether the rater has seen results.")


class StudySummary(Answer):
    """A study; which dictionaries it is of is told with its results."""

    id: str = Field(description="In its address.")
    title: str
    author: str = Field(description="Who made it; empty: not said.")
    created: float = Field(description="Seconds since 1970.")
    withdrawn: bool = Field(description="Whether it was put away.")
    size: int = Field(description="Items in it.")


class Studies(Answer):
    """All studies, the newest first, those that were put away last."""

    studies: list[StudySummary]


class ItemState(Answer):
    """An item in a rater's order."""

    id: str
    rating: RatingAnswer | None = Field(description="The rater's that counts; null: none yet.")


class StudyAnswer(StudySummary):
    """A study with its items in one rater's order."""

    rater: str = Field(description="Whose order and ratings; empty: nobody's.")
    items: list[ItemState]
    raters: list[RaterAnswer]


class BlindContextAnswer(Answer):
    """The surroundings of one firing."""

    tokens: list[str]
    bands: list[int] = Field(
        description="Of each token: 1 to 11, equal parts of the feature's own maximum; 0: nothing "
        "is marked there."
    )
    peak: int = Field(description="Place of the token that it was drawn for.")


class BlindGroupAnswer(Answer):
    """Contexts of one part of the range of activation."""

    lowest: int = Field(description="Band of the part; 0: these are the strongest of all.")
    highest: int = Field(description="Likewise.")
    contexts: list[BlindContextAnswer]


class ShareOfToken(Answer):
    """A token whose logit is changed."""

    text: str
    share: float = Field(description="Of the largest change, below 0 where it is lowered.")


class ItemAnswer(Answer):
    """What a rater sees of a feature. Nothing of it tells whose the feature is."""

    id: str
    groups: list[BlindGroupAnswer] = Field(description="Empty: its dictionary is gone.")
    raised: list[ShareOfToken]
    lowered: list[ShareOfToken]
    rating: RatingAnswer | None = Field(description="The rater's that counts; null: none yet.")


class KeptRatingAnswer(Answer):
    """What became of a rating."""

    rating: RatingAnswer
    over: RatingAnswer | None = Field(
        description="A rating by the same rater that its sender had not seen. It is kept, too."
    )


class Unblinded(Answer):
    """Since when a rater has seen results."""

    rater: str
    since: float = Field(description="Seconds since 1970.")


class StudyQuestion(Question):
    """A study to be made."""

    dictionaries: list[RatingText] = Field(examples=[["demo/mlp-4096", "demo/mlp-neurons"]])
    features: int = Field(description="Of each dictionary.", examples=[20])
    seed: int = Field(default=0, description="Of the draw, and of all intervals.")
    title: RatingText = ""
    author: RatingText = ""
    matched: bool = Field(
        default=False,
        description="Whether each feature has one of like density in each other dictionary.",
    )
    firings: int = Field(default=1, description="That a feature has at least.")
    every_mark: bool = Field(
        default=False,
        description="Whether contexts show all firings, by which features can be told from "
        "neurons, instead of only those they were drawn for.",
    )


class ScoresQuestion(Question):
    """The four answers of the rubric."""

    confidence: int = Field(examples=[3])
    activations: int = Field(examples=[5])
    logits: int = Field(examples=[2])
    specificity: int = Field(examples=[1])


class RatingQuestion(Question):
    """A rating to be kept."""

    rater: RatingText = Field(examples=["Ada"])
    scores: ScoresQuestion | None = Field(description="Null: the item is skipped.")
    interpretation: RatingText = ""
    kind: RaterKind = RaterKind.PERSON
    seen: RatingText | None = Field(
        default=None,
        description="Id of the rating by the same rater that is known; empty: none; null: any.",
    )


class RaterQuestion(Question):
    """Who asks."""

    rater: RatingText = Field(examples=["Ada"])


class SourceAnswer(Answer):
    """A dictionary of a study."""

    model: Printable
    dictionary: Printable = Field(description="As it was called when the study was made.")
    subject: str = Field(description="SHA-256 of its weights.")
    neurons: bool = Field(description="Whether it is a neuron basis.")
    hook_point: str
    alive: int = Field(description="Features that fired in its harvest.")
    eligible: int = Field(description="Of these, those that fired often enough to be drawn.")
    drawn: int
    there: bool = Field(description="Whether the store still has it.")
    again: bool = Field(description="Whether it was harvested otherwise since.")


class RatedGroupAnswer(Answer):
    """The ratings of one dictionary's items."""

    items: int = Field(description="That somebody rated.")
    mean: float | None = Field(description="Of the items' means over raters.")
    median: float | None
    counts: list[int] = Field(description="Ratings of 0, 1, … up to the highest.")


class DifferenceAnswer(Answer):
    """Two dictionaries, compared by their items' means over raters."""

    first: int = Field(description="Place among the dictionaries.")
    second: int
    difference: float | None = Field(description="Mean of the first less that of the second.")
    low: float | None = Field(description="Of its 95 % interval, by bootstrap over items.")
    high: float | None
    u: float | None = Field(description="Mann and Whitney's, of the first.")
    superiority: float | None = Field(description="U as a share of all pairs.")
    p: float | None = Field(description="Two-sided, with ties.")
    exact: bool = Field(description="Whether p is exact; else it is the normal approximation.")


class AlphaAnswer(Answer):
    """Krippendorff's alpha."""

    alpha: float | None = Field(description="Null: undefined; `reason` says why.")
    low: float | None = Field(description="Of its 95 % interval, by bootstrap over items.")
    high: float | None
    items: int = Field(description="With ratings of two raters.")
    ratings: int = Field(description="Of those items.")
    reason: str


class CriterionAnswer(Answer):
    """All that is known by one criterion, or of the total."""

    key: str = Field(examples=["total"])
    highest: int
    groups: list[RatedGroupAnswer] = Field(description="One of each dictionary.")
    differences: list[DifferenceAnswer] = Field(description="One of each pair of dictionaries.")
    ordinal: AlphaAnswer
    interval: AlphaAnswer


class RaterPairAnswer(Answer):
    """How far two raters agree on totals."""

    first: str
    second: str
    items: int = Field(description="That both rated.")
    ordinal: AlphaAnswer
    interval: AlphaAnswer
    apart: float | None = Field(description="Mean distance of their totals.")


class RatedItemAnswer(Answer):
    """An item, unblinded."""

    id: str
    source: int = Field(description="Place of its dictionary.")
    index: int = Field(description="Of the feature.")
    ratings: list[RatingAnswer] = Field(description="Blind; those that others replaced left out.")


class StudyResultsAnswer(StudySummary):
    """What the blind ratings say, and what everything was."""

    settings: dict[str, int | bool] = Field(description="How the items were drawn.")
    dictionaries: list[SourceAnswer]
    raters: list[RaterAnswer]
    blind: int = Field(description="Ratings that count.")
    left_out: int = Field(description="Newest ratings by who had seen results before.")
    criteria: list[CriterionAnswer]
    pairs: list[RaterPairAnswer]
    items: list[RatedItemAnswer]
