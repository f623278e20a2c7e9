"""Trainings that never were, for tests of their pages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from app.store.types.runs import RunRecord
from sae_core.training.config import TrainingConfig, TrainingPoint

EVALUATION = {
    "n_tokens": 65_536,
    "n_targets": 65_000,
    "l0": 15.5,
    "fvu": 0.125,
    "l_clean": 2.5,
    "l_recon": 2.75,
    "l_zero": 7.0,
    "l_mean": 6.5,
    "dead_share": 0.01,
    "extra_loss_fraction": 0.25 / 4.5,
    "extra_loss_fraction_mean": 0.25 / 4.0,
}


def config(**changes: Any) -> TrainingConfig:
    values: dict[str, Any] = {"architecture": "topk", "d_sae": 64, "l0": 8, "tokens": 100_000}
    return TrainingConfig(**(values | {"batch": 1000} | changes))


def point(step: int, **changes: Any) -> TrainingPoint:
    values: dict[str, Any] = {
        "step": step,
        "tokens": 1000 * step,
        "loss": 1 / (step + 1),
        "l0": 8.0,
        "fvu": 0.9 / (step + 1) + 0.1,
        "dead_share": 0.0,
        "penalty": 0.0,
        "tokens_per_second": 40_000.0 + step,
    }
    return TrainingPoint(**(values | changes))


def record(name: str = "first", **changes: Any) -> RunRecord:
    """One that finished; changes of its config go under `config`."""
    trained = config(**changes.pop("config", {}))
    values: dict[str, Any] = {
        "name": name,
        "model": "demo",
        "hook_point": "blocks.0.mlp.hook_post",
        "config": asdict(trained),
        "settings": {"corpus": "python-stdlib", "n_ctx": 128},
        "status": "finished",
        "folder": "somewhere/first",
        "checksum": "b" * 64,
        "evaluation": EVALUATION,
    }
    return RunRecord(**(values | changes))
