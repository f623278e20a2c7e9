"""Features through a training as JSON."""

from __future__ import annotations

from pydantic import Field

from app.web.schema import Answer, Printable


class TrainingMoment(Answer):
    """One checkpoint."""

    name: Printable
    step: int = Field(description="-1: not known.")
    loss: float = Field(description="On the held-out text, nats a token.")
    null: float | None = Field(description="Correlation that chance reaches; null: none judged.")
    appear: int = Field(description="Features that appear here.")
    present: int = Field(description="Features that are there.")
    label_score: float | None = Field(description="Mean F1 of the rules; null: none has one.")


class FollowedFeatures(Answer):
    """All features, one entry each; null where nothing can be said."""

    appears: list[int] = Field(description="Number of the checkpoint; -1: never found again.")
    match: list[list[float | None]] = Field(description="Correlation by checkpoint, then feature.")
    same: list[list[float | None]] = Field(description="With the last dictionary read there.")
    label_score: list[list[float | None]] = Field(description="F1 of each feature's rule.")


class TrainingAnswer(Answer):
    """A dictionary's features through the training of its model."""

    name: str = Field(description="In its address.", examples=["demo-deep resid-1"])
    model: Printable
    dictionary: Printable
    trained: int = Field(description="Tokens each checkpoint's dictionary saw; 0: neurons.")
    read: int = Field(description="Held-out tokens that features were matched on.")
    moments: list[TrainingMoment]
    features: FollowedFeatures
    address: str = Field(description="Of its page.")


class TrainingName(Answer):
    """A training without its figures."""

    name: str
    model: Printable
    dictionary: Printable
    address: str = Field(description="Of its page.")


class TrainingList(Answer):
    """Trainings that were followed, by name."""

    trainings: list[TrainingName]
