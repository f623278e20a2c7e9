"""A contrast of two sets of texts for tests: small, with hostile texts and names."""

from __future__ import annotations

import math
from dataclasses import replace

from app.store.written.audit.contrasts.records import ContrastRecord, TextSet
from sae_core.audit.contrast.sets import ProbeBeside, SetContrast, TellingFeature
from tests import factories

HOSTILE = ("<script>alert(1)</script>", "\u202egnp.exe", "nul \x00", "half \ud800")


def contrast() -> SetContrast:
    """Two features, one of which is chance, and a probe that is ahead of the first."""
    best = TellingFeature(
        3, "max", True, 0.96875, 2.5, 1e-6, 2e-5, 0.9375, 0.875, 0.96875, 4.0, 0.25
    )
    chance = TellingFeature(7, "mean", False, 0.625, -0.5, 0.25, 0.5, 0.5, 0.25, 0.75, 0.125, 0.375)
    probe = ProbeBeside(0.984375, 0.9375, 1.0, 10.0, 0.046875, 0.015625, 0.078125)
    return SetContrast(40, 1, 0.05, (best, chance), probe, (20, 20))


def silent() -> SetContrast:
    """Texts on which no feature fires: nothing stands beside the probe."""
    made, none = contrast(), math.nan
    probe = replace(made.probe, ahead=none, ahead_low=none, ahead_high=none)
    return replace(made, features=(), tested=0, told=0, probe=probe)


def record(title: str = "polite <b>", question: str = "c" * 64) -> ContrastRecord:
    """It, of the store's dictionary."""
    dictionary = factories.sample().dictionary
    return ContrastRecord(
        model="demo",
        dictionary="mlp-12",
        checksum=dictionary.checksum,
        question=question,
        title=title,
        first=TextSet("polite <i>", (*HOSTILE, *(f"please {n}" for n in range(16)))),
        second=TextSet("rude", tuple(f"now {n}" for n in range(20))),
        settings={"wanted_q": 0.05, "most": 2, "seed": 5},
        contrast=contrast(),
    )
