"""Monitors as JSON."""

from __future__ import annotations

from pydantic import Field

from app.web.schema import Answer, Printable


class RateAnswer(Answer):
    """How many of some texts raise the alarm."""

    texts: int
    alarms: int
    share: float | None
    low: float = Field(description="Lower end of the share's exact 95 % interval.")
    high: float


class MonitorFeature(Answer):
    """A feature that is read."""

    feature: int
    weight: float = Field(description="What a unit of its activation adds to the level.")
    label: str
    address: str = Field(description="Of its page; empty: the store has it no longer.")


class LabelledAnswer(Answer):
    """What it does on texts that were labelled."""

    positives: str
    negatives: str
    recall: RateAnswer
    false: RateAnswer = Field(description="Alarms among the negatives.")
    precision: RateAnswer = Field(description="Positives among the alarms.")
    area: float = Field(description="AUROC of the levels.")
    low: float
    high: float


class AlarmAnswer(Answer):
    """An alarm that was raised."""

    source: str = Field(description="`chat`, `endpoint` or `watch`.")
    turn: str
    level: float
    action: str = Field(description="What the gate did.")
    before: str
    token: str = Field(description="That raised it.")
    behind: str
    webhook: str = Field(description="`sent`, or why it was not; empty: there is none.")
    created: float = Field(description="Seconds since 1970.")


class MonitorAnswer(Answer):
    """A monitor with all its figures."""

    name: str = Field(description="In its address.", examples=["rude"])
    title: str
    model: Printable
    dictionary: Printable
    origin: str = Field(description="`features`, `list`, `contrast` or `probe`.")
    origin_name: str
    features: list[MonitorFeature]
    direction: list[float] = Field(description="Of a probe, in units of the activation.")
    offset: float
    pooling: str
    threshold: float = Field(description="A text above it raises the alarm.")
    rate: float = Field(description="The false-positive rate that was asked for.")
    chosen: RateAnswer = Field(description="Of the half that chose the threshold.")
    stated: RateAnswer = Field(description="Of the other half: what is observed.")
    silent: float = Field(description="Share of texts whose level is exactly 0.")
    corpus: str
    n_ctx: int
    documents: int
    labelled: LabelledAnswer | None
    problem: str = Field(description="Why it cannot be used as it is; empty: it can.")
    raised: int = Field(description="Its alarms so far.")
    unsent: int = Field(description="Of these, those that the webhook did not take.")
    alarms: list[AlarmAnswer] = Field(description="The newest of them.")
    created: float = Field(description="Seconds since 1970.")
    address: str = Field(description="Of its page.")


class MonitorSummary(Answer):
    """A monitor without its figures."""

    name: str
    title: str
    model: Printable
    dictionary: Printable
    raised: int
    created: float = Field(description="Seconds since 1970.")
    address: str = Field(description="Of its page.")


class MonitorList(Answer):
    """All monitors, the newest first."""

    monitors: list[MonitorSummary]


class LevelAnswer(Answer):
    """What a monitor says of a text."""

    name: str
    level: float | None = Field(description="null: the text has no token.")
    alarm: bool
    threshold: float
    tokens: list[str]
    levels: list[float] = Field(description="Of each token.")
