"""The training loop: learning, resuming, refusing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sae_core.errors import TrainingError
from sae_core.training.config import Normalisation, TrainingConfig, TrainingPoint
from sae_core.training.trainer import train
from tests.sae_core.training.synthetic import SyntheticStream

CONFIG = TrainingConfig(d_sae=48, l0=4, tokens=64 * 90, batch=64, learning_rate=5e-3)
HOOK = "blocks.0.mlp.hook_post"


def test_training_learns(tmp_path: Path) -> None:
    points: list[TrainingPoint] = []
    trained = train(
        SyntheticStream(), CONFIG, HOOK, tmp_path / "run.ckpt", points.append, point_every=10
    )
    assert tuple(points) == trained.curve
    assert [p.step for p in points] == list(range(10, 91, 10))
    assert points[-1].tokens == CONFIG.tokens
    assert points[-1].fvu < 0.5 * points[0].fvu
    norms = trained.dictionary.W_dec.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("normalisation", Normalisation)
def test_the_result_is_in_units_of_the_model(tmp_path: Path, normalisation: Normalisation) -> None:
    stream = SyntheticStream(scale=30)
    config = replace(CONFIG, normalisation=normalisation, learning_rate=None)
    trained = train(stream, config, HOOK, tmp_path / "run.ckpt", point_every=30)
    x = stream.batch(1000)
    error = (x - trained.dictionary(x)).pow(2).sum()
    fvu = float(error / (x - x.mean(dim=0)).pow(2).sum())
    assert fvu == pytest.approx(trained.curve[-1].fvu, rel=0.5)


@pytest.mark.parametrize("killed_at", [10, 50, 70])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path: Path, killed_at: int) -> None:
    whole = train(SyntheticStream(), CONFIG, HOOK, tmp_path / "whole.ckpt", point_every=10)

    def die(point: TrainingPoint) -> None:
        if point.step == killed_at:
            raise KeyboardInterrupt

    path = tmp_path / "killed.ckpt"
    with pytest.raises(KeyboardInterrupt):
        train(SyntheticStream(), CONFIG, HOOK, path, die, point_every=10)
    resumed = train(SyntheticStream(), CONFIG, HOOK, path, point_every=10)
    for name, weight in whole.dictionary.state_dict().items():
        assert torch.equal(weight, resumed.dictionary.state_dict()[name]), name
    still = {"tokens_per_second": 0.0}
    assert [replace(p, **still) for p in whole.curve] == [
        replace(p, **still) for p in resumed.curve
    ]


def still(curve: tuple[TrainingPoint, ...]) -> list[TrainingPoint]:
    return [replace(point, tokens_per_second=0.0) for point in curve]


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    train(SyntheticStream(), CONFIG, HOOK, path, point_every=10)
    for stream, config, hook, named in (
        (SyntheticStream(), replace(CONFIG, seed=1), HOOK, "configuration"),
        (SyntheticStream(seed=1), CONFIG, HOOK, "activations"),
        (SyntheticStream(), CONFIG, "blocks.1.mlp.hook_post", "hook point"),
    ):
        with pytest.raises(TrainingError, match=f"another {named}: remove it"):
            train(stream, config, hook, path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="damaged"):
        train(SyntheticStream(), CONFIG, HOOK, path)
