"""A monitor for tests: small, with hostile texts and names."""

from __future__ import annotations

import numpy as np

from app.store.written.audit.monitors.records import (
    AlarmRecord,
    CalibrationText,
    ExampleKind,
    LevelExample,
    MonitorDetails,
    MonitorOrigin,
    MonitorRecord,
)
from sae_core.audit.monitors.histogram import level_histogram
from sae_core.audit.monitors.labelled import labelled_figures
from sae_core.audit.monitors.monitor import Monitor
from sae_core.audit.monitors.threshold import choose_threshold
from tests import factories

HOSTILE = "<script>alert(1)</script>\u202e"


def record(title: str = "rude <b>", question: str = "d" * 64) -> MonitorRecord:
    """Of features 3 and 7 of the store's dictionary."""
    draw = np.random.default_rng(0)
    levels = np.maximum(draw.normal(size=400) - 1, 0)
    chosen = choose_threshold(levels, np.arange(400), 0.05)
    positives, negatives = draw.normal(size=20) + 2, draw.normal(size=20) - 1
    examples = tuple(
        LevelExample(kind, 2.5, ("so ", HOSTILE, " it is"), (0.0, 2.5, 0.25), "<i>file</i>.txt")
        for kind in ExampleKind
    )
    sample = factories.sample()
    details = MonitorDetails(
        origin=MonitorOrigin.CONTRAST,
        origin_name="polite <i>",
        model_checksum=sample.model.checksum,
        monitor=Monitor(((3, 0.5), (7, -0.25))),
        threshold=chosen,
        text=CalibrationText("corpus <u>", "a file", "e" * 64, 400, 128, 51_200),
        histogram=level_histogram([levels, positives, negatives]),
        labelled=labelled_figures(positives, negatives, chosen.threshold),
        labels=("rude <s>", "polite"),
        examples=examples,
    )
    return MonitorRecord("demo", "mlp-12", sample.dictionary.checksum, question, title, details)


def alarm(monitor: str, level: float = 2.5, token: str = HOSTILE) -> AlarmRecord:
    """One that was raised on the endpoint."""
    return AlarmRecord(
        monitor, "endpoint", "answer", level, "refuse", ("so ", token, " half \ud800")
    )
