"""`featurescope toy`: its table, its files, and what it refuses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import run
from app.jobs.toy import report as toy_report
from app.jobs.toy.drawing import found_drawing
from sae_core.toy.data import ToyConfig
from sae_core.toy.run import SETTINGS, ToyResult, ToySetting, run_toy


def test_the_table_says_what_the_files_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ToyConfig(directions=5, dimensions=4, fewest=1, most=2, samples=600)
    monkeypatch.setitem(SETTINGS, "small", ToySetting(data, latents=12, batch=100, steps=300))
    words = ["toy", "--architectures", "topk", "--seeds", "0,3", "--out", str(tmp_path)]
    assert run(words) == 0
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "toy.json").read_text())
    assert [(r["architecture"], r["seed"]) for r in figures["runs"]] == [("topk", 0), ("topk", 3)]
    for result in figures["runs"]:
        cosines = np.array(result["cosines"])
        assert result["found"] == (cosines >= 0.9).sum()
        assert f"| topk | {result['seed']} | {result['found']} of 5 |" in printed
        assert result["found"] > figures["chance"]
        assert result["l0"] == pytest.approx(2.0, abs=0.1)
    assert run(words) == 0  # nothing is trained twice, and the same is said of it
    again = capsys.readouterr().out
    assert again == printed
    drawn = ElementTree.parse(tmp_path / "toy.svg").getroot()
    assert drawn.get("aria-label") == "5 directions in 4 dimensions, 12 latents"


def test_a_drawing_escapes_its_words() -> None:
    cosines = np.array([0.95, -0.2])
    svg = found_drawing([("<script>", 0, cosines)], cosines, "a & b")
    assert "<script>" not in svg
    assert "&lt;script&gt;: 1 of 2" in svg


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "zero"], "'zero' is no list of seeds"),
        (["--seeds", "-1"], "from 0 to 2147483647, not -1"),
        (["--seeds", f"0,{10**20}"], f"not {10**20}"),
        (["--architectures", "topk,relu"], "no architecture 'relu' to train: use one of"),
        (["--architectures", "standard,topk", "--l0", "1.5"], "a whole number, not 1.5"),
        (["--l0", "0"], "An L0 of 0 does not fit"),
    ],
)
def test_what_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["toy", *words]) == 1
    assert said in capsys.readouterr().err


def test_what_was_found_stays_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ToyConfig(directions=5, dimensions=4, fewest=1, most=2, samples=600)
    monkeypatch.setitem(SETTINGS, "small", ToySetting(data, latents=12, batch=100, steps=30))
    trained: list[int] = []

    def run_one(setting: ToySetting, name: str, seed: int, folder: Path) -> ToyResult:
        if len(trained) == 1:
            trained.append(-1)
            raise KeyboardInterrupt
        trained.append(seed)
        return run_toy(setting, name, seed, folder)

    monkeypatch.setattr(toy_report, "run_toy", run_one)
    words = ["toy", "--architectures", "topk", "--seeds", "0,1", "--out", str(tmp_path)]
    assert run(words) == 130
    said = capsys.readouterr()
    assert "| topk | 0 |" in said.out
    assert "the same command goes on" in said.err
    assert [r["seed"] for r in json.loads((tmp_path / "toy.json").read_text())["runs"]] == [0]
    assert run(words) == 0
    assert trained == [0, -1, 1]
    assert run([*words, "--l0", "1"]) == 1
    assert "holds the results of another toy: choose another --out" in capsys.readouterr().err
    (tmp_path / "toy.json").write_text('{"runs": 5}')
    assert run(words) == 1
    assert "holds no results of a toy" in capsys.readouterr().err


def test_a_folder_that_cannot_be_is_said_before_any_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(["toy", "--out", str(tmp_path / "file" / "toy")]) == 1
    assert "cannot be written" in capsys.readouterr().err
