"""`featurescope circuit` on a small model: what it keeps and prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli.main import run
from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.store import open_store
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the harvested neurons of a small model, and a task."""
    folder = tmp_path_factory.mktemp("circuit")
    save_folder(tiny_gpt2(), folder / "tiny")
    (folder / "texts").mkdir()
    for n in range(20):
        (folder / "texts" / f"{n:02}.txt").write_text(f"def fox_{n}(dog): return {n} jumps\n" * 3)
    spec = SourceSpec(
        str(folder / "tiny"), neurons=POST, name="neurons", corpus=str(folder / "texts"), n_ctx=32
    )
    harvesting.harvest(Settings(home=folder / "home"), spec)
    lines = [{"prompt": f"fox {n}", "right": "a", "wrong": ["b", "c"]} for n in range(8)]
    (folder / "letters.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return folder


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(folder / "home"))
    return folder


def test_a_task_of_ones_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["circuit", "tiny", str(home / "letters.jsonl"), "--features", "2", "4", "2"]
    command += ["--draws", "2"]
    assert run(command) == 0
    said = capsys.readouterr().out
    assert "of 8 prompts" in said
    assert "without the 4 strongest" in said
    assert "Its page is /m/tiny/circuit/letters" in said
    with open_store(Settings(home=home / "home")) as store:
        view = store.graphs.circuits.view("tiny", "letters")
        (graph,) = store.graphs.all("tiny")
        nodes = store.graphs.contents(graph).nodes
    circuit = view.record.circuit
    assert [tried.size for tried in circuit.sets] == [2, 4]
    assert len(circuit.features) == 4
    assert {own.name for own in view.record.dictionaries} >= {"neurons"}
    # A graph of the first prompt it was tried on, with its features in a group.
    assert graph.prompt == "fox 1"
    (group,) = graph.groups
    assert group.title == "responsible for letters"
    named = {(int(nodes.place[node]), int(nodes.index[node])) for node in group.nodes}
    assert named <= {(feature.place, feature.feature) for feature in circuit.features}

    assert run([*command, "--no-graph"]) == 0  # asked for before: nothing is computed
    with open_store(Settings(home=home / "home")) as store:
        assert store.graphs.circuits.all("tiny") == [view]
    assert run(["forget", "--circuit", "tiny/letters"]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nobody", "brackets"], "no harvested model"),
        (["tiny", "poetry"], "neither a file nor a known task"),
        (["tiny", "indirect-object"], "too few words"),
        (["tiny", "brackets", "--dictionary", "nothing"], "has no dictionary"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_cannot_be_done_is_a_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert run(["circuit", *words]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "Line 1 of the task is not JSON"),
        (b'{"prompt": "x", "right": "a", "wrong": "b"}\n' * 3, "at least 4 prompts"),
        (b'{"prompt": "x", "right": "nowhere", "wrong": "b"}\n' * 4, "not a single token"),
        (b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_a_file_that_is_no_task_is_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], content: bytes, sentence: str
) -> None:
    path = home / "wrong.jsonl"
    path.write_bytes(content)
    assert run(["circuit", "tiny", str(path)]) == 1
    assert sentence in capsys.readouterr().err
