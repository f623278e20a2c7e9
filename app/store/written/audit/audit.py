"""Evidence about what features do. Reached as `Store.audit`."""

from __future__ import annotations

from sqlalchemy import Engine

from app.store.written.audit.contrasts.contrasts import TextContrasts
from app.store.written.audit.experiments.experiments import Experiments


class AuditRecords:
    """What audits found, each kind by name.

    Args:
        engine: as of `Store`.

    Attributes:
        contrasts: features that tell two sets of texts apart.
        experiments: prompts under several edits of a model.
    """

    def __init__(self, engine: Engine) -> None:
        self.contrasts = TextContrasts(engine)
        self.experiments = Experiments(engine)
