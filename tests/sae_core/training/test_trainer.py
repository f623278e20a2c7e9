"""The training loop: learning, resuming, refusing."""

from __future__ import annotations

import gc
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from sae_core.errors import DiskError, TrainingError
from sae_core.training import trainer
from sae_core.training.config import Normalisation, TrainingConfig, TrainingPoint
from sae_core.training.optimizer import rate_at
from sae_core.training.trainer import train
from tests.sae_core.training.synthetic import SyntheticStream

CONFIG = TrainingConfig(d_sae=48, l0=4, tokens=64 * 24, batch=64, learning_rate=5e-3)
HOOK = "blocks.0.mlp.hook_post"


def test_training_learns(tmp_path: Path) -> None:
    points: list[TrainingPoint] = []
    config = replace(CONFIG, tokens=64 * 60)
    trained = train(
        SyntheticStream(), config, HOOK, tmp_path / "run.ckpt", points.append, point_every=10
    )
    assert tuple(points) == trained.curve
    assert [p.step for p in points] == list(range(10, 61, 10))
    assert points[-1].tokens == config.tokens
    assert points[-1].fvu < 0.5 * points[0].fvu
    norms = trained.dictionary.W_dec.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones_like(norms))


@pytest.mark.parametrize("normalisation", Normalisation)
def test_the_result_is_in_units_of_the_model(tmp_path: Path, normalisation: Normalisation) -> None:
    stream = SyntheticStream(scale=30)
    config = replace(CONFIG, normalisation=normalisation, learning_rate=None)
    trained = train(stream, config, HOOK, tmp_path / "run.ckpt", point_every=12)
    x = stream.batch(1000)
    error = (x - trained.dictionary(x)).pow(2).sum()
    fvu = float(error / (x - x.mean(dim=0)).pow(2).sum())
    assert fvu == pytest.approx(trained.curve[-1].fvu, rel=0.5)


@pytest.mark.parametrize(
    ("architecture", "killed_at"),
    [("topk", 2), ("topk", 10), ("topk", 18), ("batchtopk", 14), ("matryoshka", 22)],
)
def test_a_resumed_training_ends_with_the_same_bits(
    tmp_path: Path, architecture: str, killed_at: int
) -> None:
    config = replace(CONFIG, architecture=architecture, dead_after=64 * 5)
    whole = train(SyntheticStream(), config, HOOK, tmp_path / "whole.ckpt", point_every=2)

    def die(point: TrainingPoint) -> None:
        if point.step == killed_at:
            raise KeyboardInterrupt

    path = tmp_path / "killed.ckpt"
    with pytest.raises(KeyboardInterrupt):
        train(SyntheticStream(), config, HOOK, path, die, point_every=2)
    resumed = train(SyntheticStream(), config, HOOK, path, point_every=2)
    for name, weight in whole.dictionary.state_dict().items():
        assert torch.equal(weight, resumed.dictionary.state_dict()[name]), name
    assert still(whole.curve) == still(resumed.curve)


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


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tests.sae_core.training.synthetic import SyntheticStream
from tests.sae_core.training.test_trainer import CONFIG, HOOK, train

torch.set_num_threads(int(sys.argv[2]))
kill = lambda point: point.step == 14 and os.kill(os.getpid(), signal.SIGKILL)
train(SyntheticStream(), CONFIG, HOOK, Path(sys.argv[1]), kill, point_every=2)
"""


def test_a_killed_process_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "killed.ckpt"
    threads = str(torch.get_num_threads())
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), threads], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    points: list[TrainingPoint] = []
    resumed = train(SyntheticStream(), CONFIG, HOOK, path, points.append, point_every=2)
    assert [point.step for point in points] == [12, 14, 16, 18, 20, 22, 24]
    whole = train(SyntheticStream(), CONFIG, HOOK, tmp_path / "whole.ckpt", point_every=2)
    for name, weight in whole.dictionary.state_dict().items():
        assert torch.equal(weight, resumed.dictionary.state_dict()[name]), name


class _Broken(SyntheticStream):
    """Infinite from one batch on."""

    def batch(self, number: int) -> torch.Tensor:
        x = super().batch(number)
        return x * float("inf") if number >= 12 else x


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "matryoshka"])
def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(
    tmp_path: Path, architecture: str
) -> None:
    config, path = replace(CONFIG, architecture=architecture), tmp_path / "run.ckpt"
    with pytest.raises(TrainingError, match=r"before step 14\. .* keeps what was trained before"):
        train(_Broken(), config, HOOK, path, point_every=2)
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["step"] == "10"
        assert bool(file.get_tensor("W_enc").isfinite().all())


@pytest.mark.parametrize(("spoiled", "kept"), [(9, None), (12, "10"), (23, "20")])
def test_an_update_that_spoils_the_weights_is_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: int, kept: str | None
) -> None:
    def rate(config: TrainingConfig, peak: float, step: int) -> float:
        return float("inf") if step == spoiled else rate_at(config, peak, step)

    monkeypatch.setattr(trainer, "rate_at", rate)
    path = tmp_path / "run.ckpt"
    said = "keeps what was trained before" if kept else r"before step 10\. Try a lower"
    with pytest.raises(TrainingError, match=f"are no longer finite.*{said}"):
        train(SyntheticStream(), CONFIG, HOOK, path, point_every=2)
    assert path.exists() == (kept is not None)
    if kept:
        with safe_open(path, framework="pt") as file:
            assert file.metadata()["step"] == kept
            assert all(bool(file.get_tensor(name).isfinite().all()) for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 1}, "A batch of 1 has no variance to explain"),
        ({"seed": -1}, "A seed is a whole number from 0 to 2147483647, not -1"),
        ({"seed": 2**31}, "not 2147483648"),
        ({"l0": None, "penalty": 1e25}, r"penalty is 1e\+25: give a weight from 0 to 1e\+12"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict[str, float | None], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        replace(CONFIG, **changes)


def test_weights_that_no_memory_holds_are_refused(tmp_path: Path) -> None:
    config = replace(CONFIG, d_sae=10**14)
    with pytest.raises(TrainingError, match=r"100,000,000,000,000 features of .* do not fit"):
        train(SyntheticStream(), config, HOOK, tmp_path / "run.ckpt")


def test_a_full_disk_is_said_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(point: TrainingPoint) -> None:
        if point.step == 10:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

    try:
        with pytest.raises(DiskError, match="free some space"):
            train(SyntheticStream(), CONFIG, HOOK, path, fill, point_every=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["step"] == "10"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to learn from"):
        train(SyntheticStream(scale=0), CONFIG, HOOK, tmp_path / "run.ckpt")
    for normalisation in Normalisation:
        stream, config = SyntheticStream(), replace(CONFIG, normalisation=normalisation)
        stream.mean_square_deviation = 1e-16 * stream.mean_square_norm
        with pytest.raises(TrainingError, match="the same at every token"):
            train(stream, config, HOOK, tmp_path / "run.ckpt")
    with pytest.raises(TrainingError, match=r"use one of .*topk"):
        train(SyntheticStream(), replace(CONFIG, architecture="sae"), HOOK, tmp_path / "run.ckpt")


@pytest.mark.parametrize("architecture", ["topk", "matryoshka"])
def test_memory_does_not_grow_with_the_steps(tmp_path: Path, architecture: str) -> None:
    config = replace(CONFIG, architecture=architecture, tokens=64 * 60, dead_after=64 * 3)
    living: list[int] = []

    def count(point: TrainingPoint) -> None:
        tensors = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
        living.append(sum(tensor.numel() for tensor in tensors))

    train(SyntheticStream(), config, HOOK, tmp_path / "run.ckpt", count, point_every=20)
    assert len(living) == 3
    assert max(living[1:]) <= living[0]


def test_the_rate_rises_and_falls() -> None:
    config = TrainingConfig(tokens=2048 * 100, warmup=0.1, decay=0.2)
    rates = [rate_at(config, 1.0, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert set(rates[9:81]) == {1.0}
    assert rates[80:] == pytest.approx([0.05 * n for n in range(20, 0, -1)])
    assert rate_at(replace(config, warmup=0, decay=0), 2.0, 99) == 2.0


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka"])
def test_a_short_training_keeps_the_l0_that_was_asked_for(
    tmp_path: Path, architecture: str
) -> None:
    """The threshold is where the weights are at the end, and so it is when taken up again."""
    config = replace(CONFIG, architecture=architecture, l0=6, tokens=64 * 80)
    stream, file = SyntheticStream(), tmp_path / "run.ckpt"
    trained = train(stream, config, HOOK, file, point_every=10)
    x = torch.cat([stream.batch(number) for number in range(2000, 2020)])
    l0 = float((trained.dictionary.encode(x) > 0).sum() / len(x))
    assert l0 == pytest.approx(6, rel=0.1)
    assert l0 == pytest.approx(trained.curve[-1].l0, rel=0.1)
    again = train(stream, config, HOOK, file, point_every=10).dictionary
    assert torch.equal(again.threshold, trained.dictionary.threshold)
