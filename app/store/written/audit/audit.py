"""Evidence about what features do. Reached as `Store.audit`."""

from __future__ import annotations

from sqlalchemy import Engine

from app.store.written.audit.contrasts.contrasts import TextContrasts
from app.store.written.audit.experiments.experiments import Experiments
from app.store.written.audit.monitors.monitors import KeptMonitors


class AuditRecords:
    """What audits found, each kind by name.

    Args:
        engine: as of `Store`.

    Attributes:
        contrasts: features that tell two sets of texts apart.
        monitors: alarms with a false-positive rate that is known.
        experiments: prompts under several edits of a model.
    """

    def __init__(self, engine: Engine) -> None:
        self.contrasts = TextContrasts(engine)
        self.monitors = KeptMonitors(engine)
        self.experiments = Experiments(engine)
