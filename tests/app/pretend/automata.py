"""A made-up automaton of two features, and a check of its step."""

from __future__ import annotations

from app.store.types.automata import MinedAutomata, TrialArm, TriedStep
from sae_core.circuits.automata.mining import HeldFigures, Step
from sae_core.circuits.automata.shapes import Automaton

STEP = Step(
    *(1, 2, 40, 12, 80, 0.5, float("nan"), float("nan"), 0.01, 50.0, 0.6, 4.0, 1e-6, 1e-5),
    tokens=((3, 40),),
    held=HeldFigures(31, 62, 0.5, 44.0, 0.7, 3.5),
)
PARAMETERS = {
    "steps": 1,
    "tested": 9,
    "supported": 1,
    "n_tokens": 900,
    "n_documents": 12,
    "held_documents": 11,
    "held_above": 1,
    "held_beyond": 0,
}
MINED = MinedAutomata((Automaton((1, 2), (STEP,), False),), PARAMETERS)
TRIED = TriedStep(
    1,
    2,
    (
        TrialArm("unsteered", 0.0, 96, 2, 1),
        TrialArm("steered", 2.0, 96, 88, 88),
        TrialArm("random", 2.0, 96, 0, 0),
    ),
)
