"""Circuits of tasks as JSON."""

from __future__ import annotations

from pydantic import Field

from app.web.schema import Answer, Printable


class CircuitAbility(Answer):
    """How well the model does prompts, one number a prompt."""

    gap: list[float] = Field(description="Mean logit of right answers less that of wrong ones.")
    probability: list[float] = Field(description="Of all right answers together.")


class CircuitFeature(Answer):
    """A feature that a task owes its answers to."""

    dictionary: Printable
    feature: int
    label: str
    rule: str = Field(description="When it fires, where a rule says so better than chance.")
    effect: float = Field(description="On the gap along all paths of the frozen model, mean.")
    error: float = Field(description="Standard error of that mean.")
    activity: float = Field(description="What it writes on a prompt, mean.")
    prompts: float = Field(description="Share of the prompts on which it fires.")
    alone: float = Field(description="What the gap loses in the real model without it alone.")
    address: str = Field(description="Of its page; empty: the store has it no longer.")


class CircuitSet(Answer):
    """The strongest features taken out together, on prompts that they were not found on."""

    size: int
    without: CircuitAbility
    random: list[CircuitAbility] = Field(description="Without as many random ones, by draw.")


class CircuitTaskPrompt(Answer):
    """A prompt with its answers."""

    text: str
    right: list[str]
    wrong: list[str]


class CircuitAnswer(Answer):
    """A circuit with all its figures. Features were found on the first, third, fifth prompt and so
    on, and tried on the others."""

    name: str = Field(description="In its address.", examples=["brackets"])
    model: Printable
    title: str
    prompts: list[CircuitTaskPrompt]
    whole: CircuitAbility
    firing: int = Field(description="Features that fire on the prompts they were found on.")
    features: list[CircuitFeature]
    sets: list[CircuitSet]
    created: float = Field(description="Seconds since 1970.")
    address: str = Field(description="Of its page.")


class CircuitSummary(Answer):
    """A circuit without its figures."""

    name: str
    title: str
    n_prompts: int
    created: float = Field(description="Seconds since 1970.")
    address: str = Field(description="Of its page.")


class CircuitList(Answer):
    """The circuits of a model, the newest first."""

    circuits: list[CircuitSummary]
