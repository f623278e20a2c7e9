"""A circuit of a task for tests: small, with hostile prompts."""

from __future__ import annotations

from app.store.types.circuits import CircuitDictionary, CircuitPrompt, CircuitRecord
from sae_core.circuits.tasks.result import Ability, ResponsibleFeature, TaskCircuit, TriedSet

PROMPTS = ("def f(", "<script>alert(1)</script>", "\u202egnp.exe", "x = [1, 2", "y = (3", "z")


def circuit() -> TaskCircuit:
    """Six prompts, three features, two sets."""
    features = (
        ResponsibleFeature(0, 3, 1.25, 0.125, 2.0, 1.0, 0.75),
        ResponsibleFeature(1, 7, 0.5, 0.25, 1.0, 0.5, -0.25),
        ResponsibleFeature(0, 11, 0.25, 0.0625, 0.5, 0.25, 0.125),
    )
    whole = Ability((1.0, 2.0, 3.0, 4.0, -1.0, 3.0), (0.5, 0.5, 0.25, 0.75, 0.125, 0.25))
    return TaskCircuit(whole, 20, features, (_tried(1, 0.5), _tried(3, -1.0)))


def record(title: str = "brackets <b>", question: str = "c" * 64) -> CircuitRecord:
    """It with a task of the store's model."""
    return CircuitRecord(
        model="demo",
        model_checksum="a" * 64,
        question=question,
        title=title,
        prompts=tuple(CircuitPrompt(text, (" self",), ("\n", ")")) for text in PROMPTS),
        dictionaries=(
            CircuitDictionary("mlp-12", "blocks.0.mlp.hook_post", "b" * 64),
            CircuitDictionary("blocks.1.mlp.hook_post", "blocks.1.mlp.hook_post", ""),
        ),
        settings={"sizes": [1, 3], "draws": 2, "seed": 0},
        circuit=circuit(),
    )


def _tried(size: int, gap: float) -> TriedSet:
    random = tuple(Ability((2.0, 4.0 + draw, 3.0), (0.5, 0.75, 0.25)) for draw in range(2))
    return TriedSet(size, Ability((gap, gap + 1, gap), (0.25, 0.25, 0.125)), random)
