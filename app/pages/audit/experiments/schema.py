"""Experiments as JSON."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.web.schema import Answer, Printable


class ExperimentSummary(Answer):
    """An experiment in a line."""

    name: str = Field(description="As its address has it.")
    title: Printable
    model: str
    dictionary: str
    created: float = Field(description="Seconds since 1970.")
    address: str


class ExperimentList(Answer):
    """All experiments, the newest first."""

    experiments: list[ExperimentSummary]


class ExperimentEdit(Answer):
    """One edit of an arm."""

    dictionary: str
    feature: int = Field(description="-1: a direction of no dictionary.")
    contrast: str = Field(description="Whose direction it is; empty: none's.")
    random: int = Field(description="Seed of the random direction in its place; -1: none.")
    method: str
    strength: float = Field(description="In multiples of the maximum.")
    maximum: float = Field(description="A random feature's is set so that as much is written.")


class ExperimentArm(Answer):
    """One arm; the first is the unsteered model."""

    name: Printable
    group: Printable
    strength: float
    control_of: Printable
    edits: list[ExperimentEdit]


class ExperimentOutcome(Answer):
    """What was looked at."""

    name: Printable
    kind: str
    about: Printable
    happens: bool = Field(description="Whether it lies between 0 and 1.")
    left_out: int = Field(description="Prompts for which it is not known in every arm.")


class ExperimentMean(Answer):
    """An outcome in one arm."""

    arm: Printable
    outcome: Printable
    prompts: int
    mean: float
    low: float | None = Field(description="Of its 95 % interval.")
    high: float | None
    constant: str = Field(description="no, never, always or same.")


class ExperimentDifference(Answer):
    """An outcome in one arm less the same in another, prompt by prompt."""

    arm: Printable
    outcome: Printable
    against: str = Field(description="unsteered or control.")
    difference: float
    low: float | None = Field(description="Of its 95 % interval.")
    high: float | None
    joint_low: float | None = Field(description="Of the interval that holds with all others.")
    joint_high: float | None
    effect: float | None = Field(description="In standard deviations.")
    differing: int = Field(description="Prompts whose value differs.")
    p: float
    corrected: float = Field(description="After Holm, over all comparisons.")


class ExperimentSideEffect(Answer):
    """An arm on neutral text."""

    arm: Printable
    perplexity: float
    perplexity_low: float | None
    perplexity_high: float | None
    kl: float = Field(description="Nats a token.")
    kl_low: float | None
    kl_high: float | None


class ExperimentAnswer(ExperimentSummary):
    """All of an experiment but its texts."""

    prompts: int
    samples: int
    plan: dict[str, Any]
    provenance: dict[str, Any]
    arms: list[ExperimentArm]
    outcomes: list[ExperimentOutcome]
    means: list[ExperimentMean]
    differences: list[ExperimentDifference]
    side_effects: list[ExperimentSideEffect]


class ExperimentTurn(Answer):
    """A turn of a conversation."""

    role: str
    content: str


class ExperimentPrompt(Answer):
    """A prompt with the texts of all arms."""

    number: int = Field(description="From 0.")
    prompt: str | list[ExperimentTurn]
    seeds: list[int]
    texts: dict[str, list[str]] = Field(description="Of each arm, by its name.")
    values: dict[str, dict[str, float | None]] = Field(description="By outcome and arm.")


class ExperimentTexts(Answer):
    """A page of texts."""

    found: int = Field(description="Prompts on all pages.")
    page: int
    pages: int
    prompts: list[ExperimentPrompt]
