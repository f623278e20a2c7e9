"""Automata of features: frozen values, no queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sae_core.circuits.automata.shapes import Automaton


@dataclass(frozen=True)
class MinedAutomata:
    """What was mined of a dictionary.

    Attributes:
        automata: recurrent ones first, then the strongest.
        parameters: what counted as a step, and how much text it was mined from: JSON values.
    """

    automata: tuple[Automaton, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class TrialArm:
    """What came of one way to treat the contexts.

    Attributes:
        arm: unsteered, steered or random.
        strength: in multiples of the source's maximum; 0: unsteered.
        contexts: how many.
        fired: in how many the target fired on the next token.
        wrote: in how many the next token is one that the source writes.
    """

    arm: str
    strength: float
    contexts: int
    fired: int
    wrote: int


@dataclass(frozen=True)
class TriedStep:
    """A step that was checked by steering.

    Attributes:
        source: the feature that was steered.
        target: the feature that was watched.
        arms: in the order in which they were tried.
    """

    source: int
    target: int
    arms: tuple[TrialArm, ...]
