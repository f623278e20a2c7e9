"""`featurescope monitor` and `featurescope watch` on a small model."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.cli.main import run
from app.jobs.audit import watch as watching
from app.jobs.audit.watch import waiting_lines
from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.store import open_store
from app.store.written.audit.monitors.records import ExampleKind, MonitorView
from sae_core.audit.monitors.levels import monitor_levels
from sae_core.audit.monitors.monitor import LevelPooling
from sae_core.dictionaries.checkpoint import neuron_basis
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"
FOXES = [f"the fox {n} jumps" for n in range(20)]
CODE = [f"def f_{n}(x): return {n}" for n in range(20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the harvested neurons of a small model, and two sets of texts."""
    folder = tmp_path_factory.mktemp("monitor")
    save_folder(tiny_gpt2(), folder / "tiny")
    (folder / "texts").mkdir()
    for n in range(150):
        words = f"def fox_{n}(dog): return {n * 7919 % 1000} jumps\n" * (1 + n % 3)
        (folder / "texts" / f"{n:03}.txt").write_text(words)
    spec = SourceSpec(
        str(folder / "tiny"), neurons=POST, name="neurons", corpus=str(folder / "texts"), n_ctx=32
    )
    harvesting.harvest(Settings(home=folder / "home"), spec)
    (folder / "foxes.txt").write_text("\n".join(FOXES))
    (folder / "code.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in CODE))
    return folder


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(folder / "home"))
    return folder


def kept(home: Path, name: str) -> MonitorView:
    with open_store(Settings(home=home / "home")) as store:
        return store.audit.monitors.view(name)


def tiny(home: Path) -> LanguageModel:
    """The model, opening texts as the harvest did."""
    model = load_model(home / "tiny")
    return model.opening(model.own_opening)


def watched(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: list[str],
    *names: str,
) -> list[dict[str, Any]]:
    """What `watch` writes for lines of standard input."""
    stream = io.TextIOWrapper(io.BytesIO("\n".join(lines).encode("utf-8", "surrogatepass")))
    monkeypatch.setattr(sys, "stdin", stream)
    capsys.readouterr()
    assert run(["watch", *names]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_of_a_feature(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["monitor", "tiny/neurons", "--feature", "3", "--name", "three", "--rate", "0.1"]
    command += ["--positives", str(home / "foxes.txt"), "--negatives", str(home / "code.jsonl")]
    assert run(command) == 0
    printed = capsys.readouterr().out
    assert "It reads feature 3; the level of a text is the largest" in printed
    assert "false-positive rate of at most 10.0 %" in printed
    assert "Recall on 20 texts of foxes" in printed
    assert "Its page is /monitors/three" in printed
    details = kept(home, "three").record.details
    chosen = details.threshold
    k = int(0.1 * (chosen.chosen.texts + 1) + 1e-9)
    assert chosen.chosen.alarms == k - 1
    assert abs(chosen.chosen.texts - chosen.stated.texts) < 60
    assert details.text.documents == 150
    # The figures are those of levels that are read anew.
    model = tiny(home)
    basis = neuron_basis(POST, model.write_point(POST).d_in)
    levels = [monitor_levels(model, basis, details.monitor, own) for own in (FOXES, CODE)]
    assert details.labelled is not None
    assert details.labelled.recall.alarms == int((levels[0] > chosen.threshold).sum())
    assert details.labelled.false.alarms == int((levels[1] > chosen.threshold).sum())
    assert details.labels == ("foxes", "code")
    # Examples: the highest first, and the two sides of the threshold.
    by_kind = {
        kind: [one.level for one in details.examples if one.kind is kind] for kind in ExampleKind
    }
    assert by_kind[ExampleKind.HIGHEST] == sorted(by_kind[ExampleKind.HIGHEST], reverse=True)
    assert min(by_kind[ExampleKind.ABOVE]) > chosen.threshold >= max(by_kind[ExampleKind.BELOW])
    assert sum(map(sum, details.histogram.counts)) + sum(details.histogram.zero) == (
        chosen.chosen.texts + chosen.stated.texts + 40
    )

    assert run(command) == 0  # asked again, it is there
    with open_store(Settings(home=home / "home")) as store:
        assert len([line for line in store.audit.monitors.all() if line.title == "three"]) == 1


@pytest.mark.usefixtures("home")
def test_of_a_list_and_of_a_contrast(home: Path) -> None:
    with open_store(Settings(home=home / "home")) as store:
        view = store.dictionary("tiny", "neurons")
        store.lists.create("foxy", dictionary=view, features=[2, 5])
        rows = store.rows(view, [2, 5])
    assert run(["monitor", "tiny/neurons", "--list", "foxy", "--rate", "0.1"]) == 0
    members = dict(kept(home, "foxy").record.details.monitor.members)
    assert members == {f: pytest.approx(1 / rows[f].maximum / 2) for f in (2, 5)}
    sets = [str(home / "foxes.txt"), str(home / "code.jsonl")]
    assert run(["contrast", "tiny/neurons", *sets, "--name", "animals"]) == 0
    assert run(["monitor", "tiny/neurons", "--contrast", "animals", "--rate", "0.1"]) == 0
    assert kept(home, "animals").record.details.origin_name == "animals"
    probed = ["monitor", "tiny/neurons", "--contrast", "animals", "--probe", "--name", "probed"]
    assert run([*probed, "--rate", "0.1"]) == 0
    details = kept(home, "probed").record.details
    assert details.monitor.pooling is LevelPooling.MEAN
    model = tiny(home)
    basis = neuron_basis(POST, model.write_point(POST).d_in)
    foxes, code = (monitor_levels(model, basis, details.monitor, own) for own in (FOXES, CODE))
    assert np.median(foxes) > np.median(code)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--feature", "3", "--rate", "0.001"], "needs at least 5,000 texts in each half"),
        (["--feature", "99999"], "There is no feature 99999"),
        (["--list", "nothing"], "There is no list"),
        (["--contrast", "nothing"], "There is no contrast 'nothing'"),
        (["--feature", "3", "--probe"], "--probe goes with --contrast"),
        (["--feature", "3", "--positives", "x.txt"], "x.txt cannot be read"),
        (["--feature", "3", "--corpus", "/nowhere"], "There is no text at /nowhere"),
    ],
)
def test_what_cannot_be_is_said(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["monitor", "tiny/neurons", *options]) == 1
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_a_stream_is_watched_line_by_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["monitor", "tiny/neurons", "--feature", "7", "--name", "seven", "--rate", "0.2"]) == 0
    )
    threshold = kept(home, "seven").record.details.threshold.threshold
    lines = [
        json.dumps({"text": "the fox jumps", "id": 5}),
        "{broken",
        "",
        json.dumps({"text": ""}),
        json.dumps({"messages": [{"role": "user", "content": "the fox"}]}),
        json.dumps({"messages": [{"role": "user"}]}),
        json.dumps([1]),
        '{"text": "half \\ud800"}',
        json.dumps({"text": "def f(x): return 1\n" * 40}),
    ]
    said = watched(monkeypatch, capsys, lines, "seven")
    assert [one["line"] for one in said] == [1, 2, 4, 5, 6, 7, 8, 9]
    assert said[1]["error"] == "The line is not JSON."
    assert "Message 1 has no" in said[4]["error"]
    assert "no object with" in said[5]["error"]
    assert said[2]["monitors"][0]["level"] is None
    assert said[3]["monitors"][0]["turns"][0]["role"] == "user"
    model = tiny(home)
    basis = neuron_basis(POST, model.write_point(POST).d_in)
    monitor = kept(home, "seven").record.details.monitor
    texts = ["the fox jumps", "def f(x): return 1\n" * 40]
    levels = monitor_levels(model, basis, monitor, texts)
    for one, level in zip((said[0], said[7]), levels, strict=True):
        own = one["monitors"][0]
        assert own["level"] == pytest.approx(level, rel=1e-4)
        assert one["alarm"] == own["alarm"] == bool(level > threshold)
        assert bool(own["tokens"]) == own["alarm"]
    raised = sum(
        turn["alarm"]
        for one in said
        for own in one.get("monitors", ())
        for turn in own.get("turns", [own])
    )
    with open_store(Settings(home=home / "home")) as store:
        assert store.audit.monitors.view("seven").raised == raised
        assert len(store.audit.monitors.alarms("seven")) == raised


def test_a_monitor_whose_dictionary_changed_or_went_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["monitor", "tiny/neurons", "--feature", "1", "--name", "one", "--rate", "0.1"]) == 0
    path = home / "home" / "featurescope.db"
    for change, words in (
        ("update monitor set checksum = 'x' where name = 'one'", "made with other weights"),
        ("update monitor set dictionary = 'gone' where name = 'one'", "has no longer"),
    ):
        with sqlite3.connect(path) as connection:
            connection.execute(change)
        capsys.readouterr()
        assert run(["watch", "one"]) == 1
        assert words in capsys.readouterr().err
    assert run(["forget", "--monitor", "one"]) == 0
    assert run(["forget", "--monitor", "one"]) == 1
    assert run(["watch", "one"]) == 1
    assert "There is no monitor 'one'" in capsys.readouterr().err


def test_lines_come_as_they_are_written_and_a_huge_one_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "LONGEST_LINE", 10)
    stream = io.BytesIO(b"short\n" + b"x" * 35 + b"\nlast\n" + b"\xff\xfe\n")
    lines = [line for some in waiting_lines(stream) for line in some]
    assert [(line.number, line.text) for line in lines] == [
        (1, "short\n"),
        (2, None),
        (3, "last\n"),
        (4, "\ufffd\ufffd\n"),
    ]
