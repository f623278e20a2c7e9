"""`featurescope train`: what it writes, that it resumes, what it refuses."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
import torch

from app.cli.main import run
from app.cli.options import tokens
from app.jobs.training.run_reporter import RunReporter
from app.settings import read_settings
from app.store.database import connect
from app.store.store import Store
from app.store.types.runs import CHECKPOINT_STEPS
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.dictionaries.cross_layer_files import load_cross_layer
from sae_core.text.corpus import Document
from sae_core.training import trainer
from sae_core.training.config import TrainingPoint
from tests.sae_core.tiny_models import save_folder, tiny_gpt2
from tests.sae_core.training.unique_text import in_folder

POST = "blocks.1.mlp.hook_post"
MLP_IN, MLP_OUT = "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"
BOTH = {"hook_point": MLP_IN, "output_hook_point": MLP_OUT}
EVERY_BLOCK = {name: place.replace("1", "*") for name, place in BOTH.items()}
FILES = ["cfg.json", "sae_weights.safetensors", "training.json"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and texts."""
    folder = tmp_path_factory.mktemp("parts")
    save_folder(tiny_gpt2(2), folder / "tiny")
    (folder / "texts").mkdir()
    texts = [
        "\n".join(f"def fox_{n}(dog): return {n} jumps over {n * k}" for k in range(n % 9 + 1))
        for n in range(30)
    ]
    unseen = (f"A fox jumps over {n} dogs." * 9 for n in range(1000))
    texts.append(next(text for text in unseen if Document("", text).held_out))
    for n, text in enumerate(texts):
        (folder / "texts" / f"{n:02}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def whole(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATURESCOPE_HOME", str(folder / "home"))
        assert run(_words(parts, folder / "out")) == 0
    return folder


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))


def _words(parts: Path, out: Path, *more: str, **options: str) -> list[str]:
    given = {
        "model": str(parts / "tiny"),
        "hook-point": POST,
        "corpus": str(parts / "texts"),
        "out": str(out),
        "features": "64",
        "l0": "4",
        "batch": "32",
        "tokens": "12.8k",
        "downstream": "0.1",
        "context": "24",
        **{name.replace("_", "-"): value for name, value in options.items()},
    }
    return [
        "train",
        *more,
        *(word for name, value in given.items() for word in (f"--{name}", value)),
    ]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    report = RunReporter.on_point

    def on_point(reporter: RunReporter, point: TrainingPoint) -> None:
        report(reporter, point)
        if point.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunReporter, "on_point", on_point)


def test_it_writes_a_dictionary_and_reports_a_run(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mlp"
    words = _words(parts, out, cache=str(tmp_path / "cache"), name="first try")
    assert run(words) == 0
    told = capsys.readouterr().err
    assert "L0=4.0" in told
    assert "On held-out text: L0 4.0, FVU 0." in told
    model, corpus = parts / "tiny", parts / "texts"
    pages = f"featurescope add --model {model} --sae {out} --corpus {corpus} --context 24\n"
    assert told.endswith(pages)
    assert sorted(p.name for p in out.iterdir()) == FILES
    dictionary = load_dictionary(out)
    assert (dictionary.hook_point, dictionary.d_sae) == (POST, 64)
    record = json.loads((out / "training.json").read_text())
    assert [point["step"] for point in record["curve"]] == list(range(50, 401, 50))
    assert record["curve"][-1]["fvu"] < record["curve"][0]["fvu"]
    assert record["evaluation"]["l0"] == pytest.approx(4, abs=0.1)
    assert in_folder(tmp_path / "cache")

    curve = Store(connect(read_settings().url)).runs.curve("first try")
    stored = curve.view.record
    assert (stored.status, stored.folder) == ("finished", str(out.resolve()))
    assert stored.checksum == record["checksum"]
    assert stored.evaluation is not None
    assert stored.evaluation["fvu"] == record["evaluation"]["fvu"]
    assert [p.fvu for p in curve.points] == [p["fvu"] for p in record["curve"]]

    before = _bytes(out)
    assert told.endswith(f"{stored.settings['pages']}\n")
    assert stored.settings["held_out"] is True
    assert stored.settings["learning_rate"] == pytest.approx(1.2e-3 * 8)  # 64 features, not 4,096
    command = shlex.split(stored.settings["command"])
    assert command[:2] == ["featurescope", "train"]
    assert run(command[1:]) == 0
    assert "mlp is trained already" in capsys.readouterr().err
    assert _bytes(out) == before


@pytest.mark.parametrize("step", [50, 300, 400])
def test_interrupted_at_any_point_it_ends_with_the_same_bytes(
    parts: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: int
) -> None:
    out = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        _stop_at(patch, step)
        assert run(_words(parts, out)) == 130
    assert "Give the same command again to go on" in capsys.readouterr().err
    runs = Store(connect(read_settings().url)).runs
    assert runs.curve("stopped").view.record.status == "stopped"
    # With a cache, too, it is the same training.
    assert run(_words(parts, out, cache=str(tmp_path / "cache"))) == 0
    assert _bytes(out) == _bytes(whole / "out")
    curve = runs.curve("stopped")
    assert curve.view.record.status == "finished"
    undisturbed = Store(connect(f"sqlite:///{whole / 'home' / 'featurescope.db'}")).runs
    losses = [[p.loss for p in c.points] for c in (curve, undisturbed.curve("out"))]
    assert losses[0] == losses[1]


DIES = """
import os, signal, sys
from app.cli.main import run
from app.jobs.training.run_reporter import RunReporter

report = RunReporter.on_point

def on_point(reporter, point):
    report(reporter, point)
    if point.step == 300:
        os.kill(os.getpid(), signal.SIGKILL)

RunReporter.on_point = on_point
run(sys.argv[1:])
"""


def test_killed_it_ends_with_the_same_bytes(parts: Path, whole: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    words = _words(parts, tmp_path / "killed")
    died = subprocess.run(
        [sys.executable, "-c", DIES, *words],
        env=environment,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert (tmp_path / "killed" / "training.ckpt").exists()
    assert run(words) == 0
    assert _bytes(tmp_path / "killed") == _bytes(whole / "out")


def test_a_full_disk_keeps_what_was_trained(
    parts: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sync, room = tmp_path / "full", os.fsync, [True, False]

    def full(descriptor: int) -> None:
        if not room.pop(0):
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert run(_words(parts, out)) == 1
    told = capsys.readouterr().err
    assert "training.ckpt cannot be written (No space left on device)" in told
    assert [path.name for path in out.iterdir()] == ["training.ckpt"]
    stored = Store(connect(read_settings().url)).runs.curve("full").view.record
    assert (stored.status, stored.message) == ("failed", told.split("featurescope: ")[1].strip())
    assert run(_words(parts, out)) == 0
    assert _bytes(out) == _bytes(whole / "out")


def test_a_transcoder_with_a_skip_connection_is_trained_and_resumed(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed in its steps for the model's predictions, with its activations kept on disk."""
    options = BOTH | {"cache": str(tmp_path / "cache")}
    whole, stopped = tmp_path / "whole" / "mlp", tmp_path / "stopped" / "mlp"
    assert run(_words(parts, whole, "--skip", name="undisturbed", **options)) == 0
    with pytest.MonkeyPatch.context() as patch:
        _stop_at(patch, 350)
        assert run(_words(parts, stopped, "--skip", **options)) == 130
    capsys.readouterr()
    stored = Store(connect(read_settings().url)).runs.curve("mlp").view.record
    command = shlex.split(stored.settings["command"])
    assert run(command[1:]) == 0
    assert "On held-out text: L0 4.0, FVU 0." in capsys.readouterr().err
    assert _bytes(stopped) == _bytes(whole)

    dictionary = load_dictionary(whole)
    assert (dictionary.hook_point, dictionary.output_hook_point) == (MLP_IN, MLP_OUT)
    assert (dictionary.architecture, dictionary.d_sae) == ("topk_skip_transcoder", 64)
    record = json.loads((whole / "training.json").read_text())
    assert record | BOTH | {"skip": True} == record
    assert record["curve"][-1]["fvu"] < record["curve"][0]["fvu"]
    assert record["evaluation"]["fvu"] < 1
    assert (stored.hook_point, stored.output_hook_point, stored.skip) == (MLP_IN, MLP_OUT, True)
    # Another training of that name: it has finished, and reconstructs something else.
    plain = tmp_path / "plain" / "mlp"
    assert run(_words(parts, plain, **options)) == 1
    assert "another run 'mlp', with other settings, which has finished" in capsys.readouterr().err


def test_a_cross_layer_transcoder_is_trained_and_resumed(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = EVERY_BLOCK | {"architecture": "batchtopk", "downstream": "0"}
    whole, stopped = tmp_path / "whole" / "clt", tmp_path / "stopped" / "clt"
    assert run(_words(parts, whole, name="undisturbed", **options)) == 0
    assert "from the first: 0." in capsys.readouterr().err
    with pytest.MonkeyPatch.context() as patch:
        _stop_at(patch, 350)
        assert run(_words(parts, stopped, **options)) == 130
    assert run(_words(parts, stopped, **options)) == 0
    assert _bytes(stopped) == _bytes(whole)
    assert load_cross_layer(whole).d_sae == 128
    assert json.loads((whole / "training.json").read_text())["evaluation"]["l0"] < 12


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hook_point": "blocks.*.mlp.hook_in"}, "reads in every block of several and writes in"),
        (EVERY_BLOCK, "not as topk: use that"),
        ({**EVERY_BLOCK, "architecture": "batchtopk"}, "leave --downstream out"),
        ({"hook_point": MLP_IN}, "is what the MLP reads: a dictionary can read there, but has to"),
        ({"output_hook_point": POST}, "is a sparse autoencoder: leave the output hook point out"),
        (
            {"output_hook_point": MLP_OUT, "architecture": "gated"},
            "There are no gated transcoders",
        ),
        ({"output_hook_point": "blocks.0.hook_mlp_out"}, "lies before blocks.1.mlp.hook_post"),
        ({"output_hook_point": "mlp"}, "'mlp' is no hook point"),
        ({"l0": "65"}, "An L0 of 65 does not fit a dictionary of 64 features."),
        ({"l0": "2.5"}, "k is a whole number, not 2.5"),
        ({"architecture": "transcoder"}, "no architecture 'transcoder' to train: use one of"),
        ({"hook_point": "blocks.2.mlp.hook_post"}, "the model has blocks 0 to 1"),
        ({"hook_point": "mlp"}, "'mlp' is no hook point"),
        ({"context": "65"}, "65 tokens does not fit tiny"),
        ({"corpus": "nowhere"}, "There is no text at nowhere"),
        ({"model": "nowhere"}, "nowhere"),
        ({"downstream": "1.5"}, "downstream is 1.5: give a share from 0 to 1"),
        ({"learning_rate": "nan"}, "The learning rate is nan"),
        ({"learning_rate": "-1"}, "The learning rate is -1"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(
    parts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    sentence: str,
) -> None:
    assert run(_words(parts, tmp_path / "out", **options)) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


def test_a_skip_connection_needs_another_hook_point(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_words(parts, tmp_path / "out", "--skip")) == 1
    assert "A skip connection leads from one hook point to another" in capsys.readouterr().err


def test_a_negative_penalty_is_a_sentence(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = _words(parts, tmp_path / "out", penalty="-1")
    at = words.index("--l0")
    assert run(words[:at] + words[at + 2 :]) == 1
    assert "The penalty is -1" in capsys.readouterr().err


def test_a_folder_that_cannot_be_is_a_sentence(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert run(_words(parts, tmp_path / "out")) == 1
    assert "out cannot be written (File exists): choose another --out" in capsys.readouterr().err


def test_a_text_shorter_than_a_context_is_a_sentence(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.txt").write_text("A fox")
    assert run(_words(parts, tmp_path / "out", corpus=str(tmp_path / "short.txt"))) == 1
    assert "less than one context of 24" in capsys.readouterr().err


def test_another_training_does_not_touch_a_folder(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        _stop_at(patch, 300)
        assert run(_words(parts, out)) == 130
    before = _bytes(out)
    assert run(_words(parts, out, features="65")) == 1
    assert "belongs to a training with another configuration" in capsys.readouterr().err
    assert _bytes(out) == before
    view = Store(connect(read_settings().url)).runs.curve("out").view
    assert (view.record.status, view.record.config["d_sae"]) == ("stopped", 64)
    assert run(_words(parts, out)) == 0
    before = _bytes(out)
    assert run(_words(parts, out, seed="1")) == 1
    assert "holds another dictionary already: choose another --out" in capsys.readouterr().err
    assert _bytes(out) == before
    (out / "training.json").unlink()
    assert run(_words(parts, out)) == 1
    assert "holds another dictionary already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("5M", 5_000_000),
        ("300k", 300_000),
        ("2_000_000", 2_000_000),
        ("1.5m", 1_500_000),
        ("1B", 10**9),
    ],
)
def test_numbers_of_tokens(word: str, number: int) -> None:
    assert tokens(word) == number


@pytest.mark.parametrize("word", ["", "M", "0", "-5k", "1.5", "five", "1e6", "5 M", "0.0001k"])
def test_what_is_no_number_of_tokens(word: str) -> None:
    with pytest.raises(ArgumentTypeError, match="write 5M, 300k or 2_000_000"):
        tokens(word)


def test_text_of_which_nothing_is_held_out_is_told(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (f"A fox jumps over {n} dogs." * 9 for n in range(1000))
    texts = tmp_path / "one.txt"
    texts.write_text(next(one for one in text if not Document("", one).held_out))
    words = _words(parts, tmp_path / "out", corpus=str(texts), tokens="320", downstream="0")
    assert run(words) == 0
    assert "On the training text (none is held out): L0" in capsys.readouterr().err
    stored = Store(connect(read_settings().url)).runs.curve("out").view.record
    assert stored.settings["held_out"] is False


def test_pages_know_how_often_checkpoints_are_written() -> None:
    assert CHECKPOINT_STEPS == trainer.POINT_EVERY * trainer.CHECKPOINT_EVERY
