"""An experiment for tests: small, with hostile texts and names."""

from __future__ import annotations

import math

import numpy as np

from app.store.written.audit.experiments.records import (
    ArmRecord,
    EditRecord,
    ExperimentDetails,
    ExperimentRecord,
    OutcomeRecord,
    PromptTexts,
    Said,
)
from sae_core.audit.experiments.comparisons import OutcomeValues, compare_arms
from sae_core.audit.experiments.side_effects import ArmSideEffect
from tests import factories

HOSTILE = ("<script>alert(1)</script>", "\u202egnp.exe", "nul \x00", "half \ud800", "=1+1")
PROMPTS = 45
ARMS = ("unsteered", "add 3 <b> × 1", "random for add 3 <b> × 1", "add 3 <b> × 4", "along")


def details(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> ExperimentDetails:
    """Three outcomes of five arms; the third never happens."""
    edit = EditRecord("mlp-12", 3, "", -1, "add", 1.0, 2.0)
    control = EditRecord("mlp-12", 7, "", -1, "add", 1.0, 2.5)
    along = EditRecord("mlp-12", -1, "polite-b", -1, "remove", 1.0, 1.0)
    arms = (
        ArmRecord(ARMS[0], "", 0.0, "", ()),
        ArmRecord(ARMS[1], "add 3 <b>", 1.0, "", (edit,)),
        ArmRecord(ARMS[2], "random for add 3 <b>", 1.0, ARMS[1], (control,)),
        ArmRecord(ARMS[3], "add 3 <b>", 4.0, "", (edit,)),
        ArmRecord(ARMS[4], ARMS[4], 1.0, "", (along,)),
    )
    outcomes = (
        OutcomeRecord("says <i>", "words", "whether 'x' <i>", True, 0),
        OutcomeRecord("length", "length", "tokens of the text", False, 1),
        OutcomeRecord("never", "pattern", "z", True, 0),
    )
    rows = [
        OutcomeValues(own.name, values[number], own.happens) for number, own in enumerate(outcomes)
    ]
    return ExperimentDetails(
        plan={"dictionary": "demo/mlp-12", "prompts": "p <i>.txt", "tokens": 8, "seed": 5},
        provenance={
            "version": "0.1.0",
            "model": {"name": "demo", "checksum": "a" * 64},
            "dictionaries": [{"name": "mlp-12", "checksum": "b" * 64}],
            "prompts": {"equal": 2},
        },
        arms=arms,
        outcomes=outcomes,
        figures=compare_arms(rows, ARMS, {ARMS[1]: [ARMS[2]]}, 0),
        side_effects=tuple(
            ArmSideEffect(arm, 12.5, 11.0, 14.25, 0.5, math.nan, math.nan) for arm in ARMS
        ),
        prompts=PROMPTS,
        samples=1,
    )


def measured() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Values [outcomes + 1, prompts, arms]."""
    values = np.zeros((4, PROMPTS, len(ARMS)))
    values[0, ::3, 0] = 1
    values[0, :, 1] = 1
    values[0, :15, 3] = 1
    values[1] = np.random.default_rng(0).integers(3, 9, (PROMPTS, len(ARMS)))
    values[1, 4, 2] = math.nan
    values[3, :, 1] = 1
    values[3, :9, 4] = 1
    return values


def record(title: str = "docs <b>", question: str = "c" * 64) -> ExperimentRecord:
    """It, of the store's dictionary."""
    values = measured()
    return ExperimentRecord(
        model="demo",
        dictionary="mlp-12",
        checksum=factories.sample().dictionary.checksum,
        question=question,
        title=title,
        details=details(values),
        values=values,
        texts=[_texts(number) for number in range(PROMPTS)],
    )


def _texts(number: int) -> PromptTexts:
    said: Said = f"prompt {number} {HOSTILE[number % len(HOSTILE)]}"
    if number == 1:
        said = (("system", "be <b>kind"), ("user", "hello \u202e"))
    own = HOSTILE[number % len(HOSTILE)]
    texts = tuple((f"{own} {place}",) for place in range(len(ARMS)))
    return PromptTexts(number, said, {"target": "x"}, (number + 7,), texts)
