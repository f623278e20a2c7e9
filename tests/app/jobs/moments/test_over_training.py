"""`featurescope over-training` on small models: what it keeps, what it says, how it goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.cli.main import run
from app.jobs.harvest import harvest as harvesting
from app.jobs.moments.checkpoints import method_of
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.store import open_store
from app.store.types.moments import MomentsRecord
from sae_core.dictionaries.checkpoint import save_dictionary
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with neurons and a dictionary of a small model, and two earlier moments of it."""
    folder = tmp_path_factory.mktemp("moments")
    save_folder(tiny_gpt2(), folder / "tiny")
    save_folder(tiny_gpt2(), folder / "step-20")  # the very same weights
    early, draw = tiny_gpt2(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in early.parameters():
            parameter.add_(parameter.std() * torch.randn(parameter.shape, generator=draw))
    save_folder(early, folder / "step-3")
    (folder / "step-3" / "tokenizer.json").unlink()  # the last one's is used
    dictionary = random_dictionary(POST, 48, 24, "topk")
    save_dictionary(dictionary, folder / "features")
    (folder / "texts").mkdir()
    rng = np.random.default_rng(0)
    for n in range(40):
        words = " ".join(f"w{rng.integers(30)}" for _ in range(40))
        (folder / "texts" / f"{n:02}.txt").write_text(f"def fox_{n}(dog): {words}\n")
    for name, own in (
        ("neurons", {"neurons": POST}),
        ("features", {"dictionary": folder / "features"}),
    ):
        spec = SourceSpec(
            str(folder / "tiny"), name=name, corpus=str(folder / "texts"), n_ctx=32, **own
        )
        harvesting.harvest(Settings(home=folder / "home"), spec)
    return folder


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(folder / "home"))
    return folder


def kept(folder: Path, name: str) -> MomentsRecord:
    with open_store(Settings(home=folder / "home")) as store:
        return store.comparisons.moments.view(name)


def test_neurons_are_matched_without_training(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = [str(home / "step-20"), str(home / "step-3")]
    assert run(["over-training", "tiny/neurons", *moments, "--tokens", "2000"]) == 0
    assert "step 3: loss" in capsys.readouterr().out
    record = kept(home, "tiny neurons")
    assert [(moment.name, moment.step) for moment in record.moments] == [
        ("step-3", 3), ("step-20", 20), ("tiny", -1)
    ]  # fmt: skip
    values, partners = record.arrays.values, record.arrays.partners
    judged = np.isfinite(values[1])
    assert judged.sum() > 20
    # The same weights: every neuron is its own match, also where the model's own is read.
    np.testing.assert_allclose(values[1][judged], 1, atol=1e-5)
    assert (partners[1][judged] == np.flatnonzero(judged)).all()
    np.testing.assert_allclose(record.arrays.same[1][judged], 1, atol=1e-5)
    assert np.nanmean(values[0]) < 0.9
    assert record.moments[1].loss == pytest.approx(record.moments[2].loss, abs=1e-5)
    assert record.moments[0].loss != record.moments[2].loss
    assert record.settings.trained == 0
    # Windows are cut where they begin, and the strongest tokens are where they are said to be.
    assert record.arrays.begins[0] == 0
    rows = record.arrays.rows
    assert rows.max() < len(record.arrays.tokens)
    assert rows.min() >= -1


def test_a_dictionary_is_trained_for_each_moment_and_nothing_is_trained_twice(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["over-training", "tiny/features", str(home / "step-3"), "--name", "trained"]
    command += ["--trained", "10000", "--tokens", "1000"]
    assert run(command) == 0
    first = kept(home, "trained")
    assert first.settings.trained == 10_000
    capsys.readouterr()
    assert run(command) == 0
    assert "training trained" not in capsys.readouterr().err  # no bar of a training
    again = kept(home, "trained")
    assert again.identity == first.identity
    assert np.array_equal(again.arrays.values, first.arrays.values, equal_nan=True)
    assert run(["forget", "--over-training", "trained"]) == 0


@pytest.mark.parametrize(
    ("own", "trained"),
    [("topk", "topk"), ("batchtopk", "batchtopk"), ("jumprelu", "topk"), ("gated", "topk")],
)
def test_what_has_no_l0_to_be_trained_at_is_trained_as_topk(
    folder: Path, own: str, trained: str
) -> None:
    with open_store(Settings(home=folder / "home")) as store:
        view = store.dictionary("tiny", "features")
    assert method_of(replace(view, architecture=own)) == trained


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nobody/neurons", "step-3"], "nobody"),
        (["tiny/neurons", "nowhere"], "no folder of a model"),
        (["tiny/neurons", "step-3", "step-3"], "named twice"),
        (["tiny/neurons", "tiny"], "named twice"),
    ],
)
def test_what_cannot_be_followed_is_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    target, *folders = words
    assert run(["over-training", target, *(str(home / name) for name in folders)]) == 1
    assert sentence in capsys.readouterr().err


def test_another_tokenizer_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = home / "step-5"
    shutil.copytree(home / "step-20", other)
    spelling = other / "tokenizer.json"
    tokenizer = json.loads(spelling.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["w"], vocabulary["o"] = vocabulary["o"], vocabulary["w"]
    spelling.write_text(json.dumps(tokenizer))
    assert run(["over-training", "tiny/neurons", str(other), "--tokens", "1000"]) == 1
    assert "other tokens than the last moment" in capsys.readouterr().err
