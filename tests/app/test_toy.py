"""`featurescope toy`: its table, its files, and what it refuses."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from app.cli import run
from app.toy_drawing import found_drawing
from sae_core.toy import ToyConfig
from sae_core.toy_run import SETTINGS, ToySetting


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
        (["--architectures", "topk,relu"], "no architecture 'relu'; there are"),
    ],
)
def test_what_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["toy", *words]) == 1
    assert said in capsys.readouterr().err
