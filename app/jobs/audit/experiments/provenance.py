"""What decides an experiment: checksums of model, dictionaries, prompts and neutral text."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from app.jobs.audit.experiments.arms import ExperimentArms
from app.jobs.audit.experiments.plan import ExperimentPlan
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.experiments.records import ArmRecord
from app.worker.client.references import opens_with_bos


def texts_provenance(
    plan: ExperimentPlan,
    view: DictionaryView,
    arms: ExperimentArms,
    neutral: list[torch.Tensor],
) -> dict[str, Any]:
    """Checksums of all that decides the texts of an experiment."""
    prompts = plan.prompts
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "model": {
            "name": view.model,
            "checksum": view.model_checksum,
            "dtype": view.model_dtype,
            "opens_with_bos": opens_with_bos(view),
        },
        "dictionaries": [
            {"name": own.name, "hook_point": own.hook_point, "checksum": own.checksum}
            for own in arms.used.values()
        ],
        "contrasts": arms.contrasts,
        "prompts": {
            "file": prompts.name,
            "count": len(prompts.prompts),
            "equal": prompts.equal,
            "checksum": prompts.checksum,
        },
        "neutral": {
            "from": Path(plan.table.neutral).name if plan.table.neutral else "harvested text",
            "count": len(neutral),
            "checksum": digest([text.tolist() for text in neutral]),
        },
    }


def plain_arm(arm: ArmRecord) -> list[Any]:
    """An arm as JSON values."""
    return [
        arm.name,
        *(
            [e.dictionary, e.feature, e.contrast, e.random, e.method, e.strength, e.maximum]
            for e in arm.edits
        ),
    ]


def digest(value: Any) -> str:
    """SHA-256 of JSON values, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
