"""`featurescope graph`: files in and out, and what it refuses. What it computes is tested there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import main
from app.exchange.neuronpedia.graphs.write import graph_json
from app.settings import Settings
from app.store.store import open_store
from tests.app.pretend import circuits
from tests.published import FILE, published


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / FILE).write_bytes(published())
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path))
    return tmp_path


def said(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main.run(["graph", *words])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_file_goes_out_and_comes_in(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_store(Settings(home=home)) as store:
        view = store.graphs.save(circuits.record(circuits.graph()))
    first, second = home / "a.json", home / "b.json"
    made = circuits.graph()
    file = "".join(graph_json(view, made, [""] * len(made.nodes)))
    first.write_text(file)
    status, words = said("demo", "--read", str(first), "--json", str(second), capsys=capsys)
    assert status == 0, words
    assert f"/m/demo/graph/{view.name}" in words
    assert json.loads(second.read_text())["links"] == json.loads(file)["links"]
    status, words = said("demo", "--read", str(first), "--json", str(second), capsys=capsys)
    assert (status, "is there already" in words) == (1, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["demo"], "either a PROMPT or"),
        (["demo", "x", "--read", "y"], "either a PROMPT or"),
        (["demo", "--read", "nowhere.json"], "cannot be read"),
        (["nobody", "x"], "no harvested model"),
        (["demo", ""], "needs a prompt"),
        (["demo", "x", "--target", "no such token"], "not one token"),
        (["demo", "x", "--dictionary", "nothing"], "has no dictionary"),
        (["demo", "x", "--feature", "mlp-12"], "names no feature at a token"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert home.exists()
    status, answer = said(*words, capsys=capsys)
    assert status == 1
    assert sentence in answer
