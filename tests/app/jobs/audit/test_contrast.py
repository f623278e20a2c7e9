"""`featurescope contrast` on a small model: what it keeps and prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from app.cli.main import run
from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.store import open_store
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.process.shelf import Shelf
from sae_core.audit.contrast.pooling import pooled_steps
from sae_core.interventions.prompt import prompt_tokens, text_positions
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"
FOXES = [f"the fox {n} jumps" for n in range(20)]
CODE = [f"def f_{n}(x): return {n}" for n in range(20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the harvested neurons of a small model, and two sets of texts."""
    folder = tmp_path_factory.mktemp("contrast")
    save_folder(tiny_gpt2(), folder / "tiny")
    (folder / "texts").mkdir()
    for n in range(20):
        (folder / "texts" / f"{n:02}.txt").write_text(f"def fox_{n}(dog): return {n} jumps\n" * 3)
    spec = SourceSpec(
        str(folder / "tiny"), neurons=POST, name="neurons", corpus=str(folder / "texts"), n_ctx=32
    )
    harvesting.harvest(Settings(home=folder / "home"), spec)
    (folder / "foxes.txt").write_text("\n".join([*FOXES, "", FOXES[0]]))
    lines = [json.dumps({"text": text, "from": 1}) for text in CODE]
    (folder / "code.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(folder / "home"))
    return folder


def test_two_sets_of_ones_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["contrast", "tiny/neurons", str(home / "foxes.txt"), str(home / "code.jsonl")]
    command += ["--features", "6"]
    assert run([*command, "--list", "foxes"]) == 0
    printed = capsys.readouterr().out
    assert "tell foxes from code" in printed
    assert "A linear probe on the raw activation has AUROC" in printed
    assert "Its page is /contrast/foxes-against-code" in printed
    with open_store(Settings(home=home / "home")) as store:
        view = store.audit.contrasts.view("foxes-against-code")
        kept, items = store.lists.contents("foxes")
    record = view.record
    assert (record.first.texts, record.second.texts) == (tuple(FOXES), tuple(CODE))
    assert len(record.contrast.features) == 6
    telling = [row for row in record.contrast.features if row.q <= 0.05]
    assert [item.index for item in items] == [row.feature for row in telling]
    side = "foxes" if telling[0].more else "code"
    assert items[0].note.startswith(f"more on {side} ({telling[0].pooling}): held-out AUROC")

    assert run([*command, "--name", "again", "--list", "foxes"]) == 0  # nothing is computed
    with open_store(Settings(home=home / "home")) as store:
        assert [line.name for line in store.audit.contrasts.all()] == [view.name]
        assert store.lists.contents("foxes")[0].size == kept.size
    assert run(["forget", "--contrast", view.name]) == 0


@pytest.mark.usefixtures("home")
def test_an_example_that_comes_along(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["contrast", "tiny/neurons", "--example", "polite-rude", "--name", "manners"]) == 0
    assert "tell polite from rude" in capsys.readouterr().out
    assert run(["forget", "--contrast", "manners"]) == 0


def test_pooling_is_that_of_a_plain_loop(folder: Path) -> None:
    with open_store(Settings(home=folder / "home")) as store:
        view = store.dictionary("tiny", "neurons")
    shelf = Shelf("cpu", 2**30)
    model = shelf.model(model_ref(view))
    dictionary = shelf.dictionary(model_ref(view), dictionary_ref(view))
    steps = pooled_steps(model, dictionary, FOXES[:3], CODE[:3])
    while True:
        try:
            next(steps)
        except StopIteration as end:
            pooled = end.value
            break
    point = model.hook_point(POST, dictionary.d_in)
    for row, text in enumerate([*FOXES[:3], *CODE[:3]]):
        tokens = prompt_tokens(model, text)
        with torch.no_grad():
            x = model.capture(tokens[None], point)[0]
            encoded = dictionary.encode(x).double().numpy()
        largest, total = np.zeros(dictionary.d_sae), np.zeros(dictionary.d_sae)
        places = text_positions(model, tokens).tolist()
        for place in places:
            for feature in range(dictionary.d_sae):
                value = max(0.0, encoded[place, feature])
                largest[feature] = max(largest[feature], value)
                total[feature] += value
        np.testing.assert_allclose(pooled.maxima[row], largest[pooled.features], rtol=1e-9)
        means = total[pooled.features] / len(places)
        np.testing.assert_allclose(pooled.means[row], means, rtol=1e-9)
        raw = x.double().numpy()[places].mean(axis=0)
        np.testing.assert_allclose(pooled.raw[row], raw, rtol=1e-9)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tiny", "--example", "polite-rude"], "names no dictionary"),
        (["tiny/nothing", "--example", "polite-rude"], "nothing"),
        (["tiny/neurons"], "Give two files"),
        (["tiny/neurons", "one.txt"], "Give two files"),
        (["tiny/neurons", "a.txt", "b.txt", "--example", "polite-rude"], "Give two files"),
        (["tiny/neurons", "a.txt", "b.txt"], "cannot be read"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_cannot_be_done_is_a_sentence(
    capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert run(["contrast", *words]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"text": "x"}\n{', "Line 2 of 'wrong' is not JSON"),
        (b'"x"', "Line 1 of 'wrong' is no object"),
        (b'{"text": 3}', "Line 1 of 'wrong' is no object"),
        (b'{"text": "x"}\n' * 20, "has 1 different texts"),
        (b"\xff\xfe", "cannot be read as text"),
        (json.dumps({"text": "x" * 20_001}).encode(), "Line 1 of 'wrong' has 20,001 characters"),
        ("\n".join(json.dumps({"text": t}) for t in FOXES).encode(), "is in both sets"),
    ],
)
def test_a_file_that_is_no_set_is_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], content: bytes, sentence: str
) -> None:
    path = home / "wrong.jsonl"
    path.write_bytes(content)
    assert run(["contrast", "tiny/neurons", str(home / "foxes.txt"), str(path)]) == 1
    assert sentence in capsys.readouterr().err
