"""From a model, a dictionary and a text of somebody's own to pages; killed, and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.cli.main import run
from app.errors import InvalidRequest
from app.jobs.harvest.add import Addition, harvest_addition
from app.settings import Settings
from app.store.database import connect
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.dump import dump
from app.worker.client.references import model_ref
from app.worker.process.shelf import Shelf
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.checkpoint import load_dictionary, save_dictionary
from sae_core.dictionaries.dictionary import TrainedOn
from sae_core.errors import CheckpointError, CorpusError, HarvestError, HookPointError
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.model import load_model
from sae_core.text.reading import Packing, TextReading
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

PLACE = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, dictionaries at its residual stream, and texts as JSON lines."""
    folder = tmp_path_factory.mktemp("parts")
    save_folder(tiny_gpt2(), folder / "tiny")
    rows = [
        {"body": " ".join(f"fox {n} jumps over dog {n * k}" for k in range(n % 7 + 1))}
        for n in range(200)
    ]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    save_dictionary(random_dictionary(PLACE, 32), folder / "random")
    model = load_model(folder / "tiny")
    tokens = torch.randint(1, 280, (20, 60), generator=torch.Generator().manual_seed(0))
    x = model.capture(tokens, model.hook_point(PLACE))[tokens > 0]
    _, sizes, rows_ = torch.linalg.svd(x - x.mean(0))
    share = sizes.square().cumsum(0) / sizes.square().sum()
    rows_ = rows_[: int((share < 0.85).sum()) + 1]  # what varies most here, and not elsewhere
    good = StandardDictionary(PLACE, 32, 2 * len(rows_), apply_b_dec_to_input=True)
    with torch.no_grad():
        good.W_enc.copy_(torch.cat([rows_, -rows_]).T)
        good.W_dec.copy_(torch.cat([rows_, -rows_]))
        good.b_dec.copy_(x.mean(0))
    save_dictionary(good.requires_grad_(False), folder / "good")
    good.hook_point = "blocks.0.hook_attn_out"
    save_dictionary(good, folder / "elsewhere")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def addition(parts: Path, sae: str = "good", **how: object) -> Addition:
    reading = how.pop("reading", TextReading(str(parts / "texts.jsonl"), "body", 600))
    assert isinstance(reading, TextReading)
    return Addition(str(parts / "tiny"), str(parts / sae), reading, n_ctx=24, **how)  # type: ignore[arg-type]


def added(settings: Settings, what: Addition) -> tuple[DictionaryView, str]:
    """What is in the store then, and what was said."""
    said: list[str] = []
    harvest_addition(settings, what, said.append)
    return Store(connect(settings.url)).dictionary(*what.titles), "\n".join(said)


def test_a_folder_becomes_pages(settings: Settings, parts: Path) -> None:
    view, said = added(settings, addition(parts))
    assert (view.model, view.name, view.hook_point) == ("tiny", "good", PLACE)
    assert view.path == str(parts / "good")  # our own format stays where it is
    assert view.details["format"] == "SAELens"
    assert "warnings" not in view.details
    assert "warning" not in said
    assert "% of the variance, 0.0 % of features silent" in said
    assert said.endswith("http://127.0.0.1:8000/d/tiny/good")
    assert view.harvest is not None
    assert view.corpus is not None
    assert 600 <= view.harvest.n_tokens < 624
    assert view.corpus.details["read"] == "as far as 600 tokens"
    before = list(dump(connect(settings.url)))
    added(settings, addition(parts))
    assert list(dump(connect(settings.url))) == before


def test_the_wrong_place_is_noticed_and_the_right_one_named(
    settings: Settings, parts: Path
) -> None:
    view, said = added(settings, addition(parts, "elsewhere"))
    assert "is this the right layer, or is an input normalisation missing?" in said
    remedy = said.partition("give --hook-point ")[2].split(".\n")[0]
    assert remedy in (PLACE, "blocks.2.hook_resid_pre")
    assert view.details["warnings"][-1].endswith(f"give --hook-point {remedy}.")
    view, said = added(settings, addition(parts, "elsewhere", hook_point=remedy, name="moved"))
    assert "warning" not in said
    assert view.hook_point == remedy
    assert view.path is not None
    assert Path(view.path).parent == settings.home / "dictionaries"
    assert load_dictionary(Path(view.path)).hook_point == remedy


def test_what_is_done_to_the_input_can_be_said(settings: Settings, parts: Path) -> None:
    what = addition(parts, "random", subtracts=False, norm="layer_norm", name="normalised")
    view, said = added(settings, what)
    assert view.path is not None
    config = json.loads((Path(view.path) / "cfg.json").read_text())
    assert (config["normalize_activations"], config["apply_b_dec_to_input"]) == (
        "layer_norm",
        False,
    )
    assert "warning" in said
    with pytest.raises(InvalidRequest, match="no normalisation 'batch': use one of none, exp"):
        addition(parts, norm="batch")


@pytest.mark.parametrize(
    ("word", "option", "opens", "who"),
    [
        (True, None, True, "the dictionary's files say"),
        (False, None, False, "the dictionary's files say"),
        (None, True, True, "the command says"),
        (None, None, False, "the model's own tokenizer"),
    ],
)
def test_who_says_whether_bos_opens_a_text(
    settings: Settings,
    parts: Path,
    tmp_path: Path,
    word: bool | None,
    option: bool | None,
    opens: bool,
    who: str,
) -> None:
    dictionary = load_dictionary(parts / "good")
    dictionary.trained_on = TrainedOn(word, 16)
    save_dictionary(dictionary, tmp_path / "said")
    what = replace(addition(parts), sae=str(tmp_path / "said"), prepend_bos=option, n_ctx=None)
    view, said = added(settings, what)
    assert f"{'with' if opens else 'without'} <|endoftext|> before each context, as {who}" in said
    assert view.details["prepend_bos"] is opens
    assert who in view.details["texts open"]
    assert view.harvest is not None
    assert view.harvest.n_ctx == 16  # as many as it was trained on
    # The worker opens a prompt, and runs every text, as the harvest did.
    model = Shelf("cpu", 1 << 30).model(model_ref(view))
    assert (prompt_tokens(model, "fox")[0] == 0) == opens
    if word is not None:
        with pytest.raises(InvalidRequest, match="leave --prepend-bos out"):
            added(settings, replace(what, prepend_bos=not word, name="other"))


def test_checkpoints_of_a_training_have_names_of_their_own(parts: Path, tmp_path: Path) -> None:
    file = tmp_path / "trainer_0" / "checkpoints" / "ae_5000.pt"
    file.parent.mkdir(parents=True)
    file.touch()
    assert replace(addition(parts), sae=str(file)).titles[1] == "trainer_0-ae_5000"
    weights = file.parent.parent / "ae.pt"
    weights.touch()
    assert replace(addition(parts), sae=str(weights)).titles[1] == "trainer_0"


def test_settings_of_the_files_are_told(settings: Settings, parts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(parts / "good", folder)
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"] |= {"seqpos_slice": [3, None], "mystery": 1}
    (folder / "cfg.json").write_text(json.dumps(config))
    view, said = added(settings, replace(addition(parts), sae=str(folder)))
    assert "note        It was trained on positions 3 to the end" in said
    assert "not understood here: metadata.mystery = 1." in said
    assert view.details["settings not understood"] == ["metadata.mystery = 1"]


@pytest.mark.parametrize("packing", [Packing.JOINED])
def test_packing_is_stated(settings: Settings, parts: Path, packing: Packing) -> None:
    reading = TextReading(str(parts / "texts.jsonl"), "body", 600, 3, packing)
    view, _ = added(settings, addition(parts, reading=reading))
    assert view.corpus is not None
    assert view.corpus.details["order"] == "shuffled, seed 3"
    assert "attention crosses documents" in view.corpus.details["packing"]


def test_two_models_in_one_store(settings: Settings, parts: Path) -> None:
    added(settings, addition(parts))
    added(settings, addition(parts, model_name="half", dtype="bfloat16"))
    views = Store(connect(settings.url)).catalogue()
    assert [(v.model, v.model_dtype) for v in views] == [("half", "bfloat16"), ("tiny", "float32")]


def test_what_does_not_fit_is_a_sentence_and_nothing_changes(
    settings: Settings, parts: Path, tmp_path: Path
) -> None:
    added(settings, addition(parts))
    before = list(dump(connect(settings.url)))
    save_dictionary(random_dictionary(PLACE, 48), tmp_path / "wide")
    save_dictionary(random_dictionary(PLACE, 31), tmp_path / "odd")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("x")
    corpus = str(parts / "texts.jsonl")
    cases = [
        (Addition(str(parts / "tiny"), str(tmp_path / "wide"), TextReading(corpus, "body")),
         HookPointError, r"width 48.*--hook-point: blocks\.N\.mlp\.hook_post are 48 wide \(N from"),
        (Addition(str(parts / "tiny"), str(tmp_path / "odd"), TextReading(corpus, "body")),
         HookPointError, r"No hook point of tiny is 31 wide .*made for another model"),
        (Addition(str(parts / "tiny"), str(tmp_path / "none"), TextReading(corpus, "body")),
         CheckpointError, "There is no dictionary"),
        (addition(parts, reading=TextReading(corpus)), CorpusError, "no column 'text'.*'body'"),
        (addition(parts, reading=TextReading(str(tmp_path / "empty.txt"))),
         CorpusError, "no text"),
        (addition(parts, reading=TextReading(str(tmp_path / "short.txt"))),
         HarvestError, "too few"),
    ]  # fmt: skip
    for what, error, sentence in cases:
        with pytest.raises(error, match=sentence):
            harvest_addition(settings, what, lambda _: None)
    with pytest.raises(InvalidRequest, match="cannot be part of an address"):
        addition(parts, name="a/b")
    assert list(dump(connect(settings.url))) == before


def test_the_command(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))
    command = ["add", "--model", str(parts / "tiny"), "--sae", str(parts / "good")]
    command += ["--corpus", str(parts / "texts.jsonl"), "--column", "body"]
    assert run([*command, "--tokens", "0.3k", "--context", "16", "--seed", "2"]) == 0
    printed = capsys.readouterr()
    assert "features at blocks.1.hook_resid_post" in printed.out
    with open_store(Settings(home=tmp_path / "home")) as store:
        n_tokens = store.dictionary("tiny", "good").n_tokens  # as pages count them
    assert f"tiny/good is harvested: {n_tokens:,} tokens." in printed.err
    assert run([*command, "--tensor", "W_enc"]) == 1
    assert "--tensor takes ROLE=NAME" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from unittest import mock
module, name, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
import sae_core.harvest.harvest
sae_core.harvest.harvest.CHECKPOINT_SECONDS = 0.0
owner = __import__(module, fromlist=["x"])
for part in name.split(".")[:-1]:
    owner = getattr(owner, part)
name = name.split(".")[-1]
whole, seen = getattr(owner, name), []
def killed(*args, **kwargs):
    seen.append(1)
    if len(seen) == calls:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*args, **kwargs)
setattr(owner, name, killed)
from app.cli.main import run
raise SystemExit(run(sys.argv[4:]))
"""


def test_killed_at_any_point_the_same_command_ends_the_same(parts: Path, tmp_path: Path) -> None:
    """While the text is encoded, between two batches of the harvest, and while it is published."""
    home = tmp_path / "home"
    settings = Settings(home=home)
    reading = TextReading(str(parts / "texts.jsonl"), "body", 2500)
    what = addition(parts, "elsewhere", hook_point=PLACE, reading=reading)
    harvest_addition(settings, what, lambda _: None)
    whole = list(dump(connect(settings.url)))
    home.rename(tmp_path / "whole")
    command = ["add", "--model", str(parts / "tiny"), "--sae", str(parts / "elsewhere")]
    command += ["--hook-point", PLACE, "--corpus", reading.corpus, "--column", "body"]
    command += ["--tokens", "2500", "--context", "24"]
    environment = {**os.environ, "FEATURESCOPE_HOME": str(home), "OMP_NUM_THREADS": "1"}
    points = [
        ("sae_core.text.token_folder", "TokenWriter.add", 20),
        ("sae_core.harvest.harvest", "harvest_batch", 2),
        ("app.store.tables.publication", "bulk_insert", 2),
    ]
    for module, name, calls in points:
        words = [sys.executable, "-c", KILLED, module, name, str(calls), *command]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == -9, done.stderr
        if home.exists() and (home / "featurescope.db").exists():
            assert Store(connect(settings.url)).catalogue() == []
    assert list((home / "harvests").iterdir()) != []
    harvest_addition(settings, what, lambda _: None)
    assert list(dump(connect(settings.url))) == whole
