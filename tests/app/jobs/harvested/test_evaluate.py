"""The command that evaluates: what it prints, what it keeps, and what it refuses to keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli.main import run
from app.errors import InvalidRequest
from app.jobs.harvest import harvest as harvesting
from app.jobs.harvested import evaluate as evaluating
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.database import connect
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.types.evaluation import StoredEvaluation, stored_evaluation
from app.store.upkeep.dump import dump
from sae_core.dictionaries.checkpoint import save_dictionary
from sae_core.text.reading import TextReading
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    save_folder(tiny_gpt2(), folder / "tiny")
    save_dictionary(random_dictionary(POST, 48, architecture="topk"), folder / "features")
    (folder / "texts").mkdir()
    for n in range(12):
        lines = [f"def fox_{n}(dog): return {n} jumps over {n * k}" for k in range(n % 4 + 1)]
        (folder / "texts" / f"{n:02}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path / "home"))
    return Settings(home=tmp_path / "home")


def _spec(parts: Path, dictionary: str = "features") -> SourceSpec:
    return SourceSpec(
        str(parts / "tiny"),
        dictionary=parts / dictionary,
        name="features",
        corpus=str(parts / "texts"),
        n_ctx=32,
    )


def _words(parts: Path, *more: str) -> list[str]:
    words = ["evaluate", "--model", parts / "tiny", "--dictionary", parts / "features"]
    return [*map(str, words), "--corpus", str(parts / "texts"), "--context", "32", *more]


def _view(settings: Settings, name: str = "features") -> DictionaryView:
    return Store(connect(settings.url)).dictionary("tiny", name)


def test_a_harvest_keeps_the_light_figures_and_saving_the_whole_ones(
    settings: Settings, parts: Path
) -> None:
    harvesting.harvest(settings, _spec(parts))
    light = stored_evaluation(_view(settings).evaluation)
    assert light is not None
    assert not light.whole
    assert light.details is not None
    assert light.details.bands is None

    found = evaluating.evaluate(settings, _spec(parts), save=True)
    view = _view(settings)
    assert view.evaluation == json.loads(json.dumps(found))
    whole = stored_evaluation(view.evaluation)
    assert whole is not None
    assert whole.whole
    same = {"details": None, "measured": light.measured}
    assert light.model_copy(update=same) == whole.model_copy(update=same)
    assert view.harvest is not None
    before = list(dump(connect(settings.url)))
    assert run(["evaluate", "tiny/features", "--save"]) == 0
    assert list(dump(connect(settings.url))) == before

    harvesting.harvest(settings, _spec(parts), seed=1)
    assert _view(settings).evaluation == view.evaluation


def test_the_table_and_the_json_say_the_same(
    settings: Settings, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_words(parts)) == 0
    printed = capsys.readouterr().out
    assert run(_words(parts, "--json")) == 0
    found = StoredEvaluation.model_validate_json(capsys.readouterr().out)
    assert f"  L_recon{found.l_recon:28.4f}   " in printed
    low, high = found.interval("kl") or (0.0, 0.0)
    assert f"{found.kl:.4f}   {low:.4f} to {high:.4f}" in printed
    assert f"{found.n_tokens:,} tokens of 12 documents in windows of 32, seed 0" in printed
    assert "tiny/features on harvested (none is held out) text of 12 files" in printed
    assert "  10/11 to 11/11" in printed
    assert "random directions:" in printed
    assert not (settings.home / "featurescope.db").exists()


def test_neurons_are_evaluated_too(
    settings: Settings, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--model", str(parts / "tiny"), "--neurons", POST, "--json"]
    assert run([*words, "--corpus", str(parts / "texts"), "--context", "32"]) == 0
    found = StoredEvaluation.model_validate_json(capsys.readouterr().out)
    assert found.details is not None
    assert found.details.decoder is not None
    assert found.details.decoder.nearest_quantiles == (0.0,) * 5


def test_the_store_knows_the_rest_but_an_old_one_not_the_text(
    settings: Settings, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harvesting.harvest(settings, _spec(parts))
    spec = evaluating.stored_spec(settings, "tiny", "features", n_ctx=20)
    assert isinstance(spec.corpus, TextReading)
    assert (spec.n_ctx, spec.corpus.corpus) == (20, str(parts / "texts"))
    Store(connect(settings.url)).save_evaluation(_view(settings), {"l0": 1.0})
    with pytest.raises(InvalidRequest, match="name the text with --corpus"):
        evaluating.stored_spec(settings, "tiny", "features")
    assert evaluating.stored_spec(settings, "tiny", "features", "other").corpus == "other"
    for words, sentence in (
        ([], "Say what to evaluate"),
        (["--model", "m"], "Say what to evaluate"),
        (["tiny/features", "--model", "m"], "Name either MODEL/DICTIONARY"),
        (["tiny/other"], "There is no dictionary 'other'"),
    ):
        assert run(["evaluate", *words]) == 1
        assert sentence in capsys.readouterr().err


def test_what_the_store_does_not_hold_is_not_kept(
    settings: Settings, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_words(parts, "--save")) == 1
    assert "There is no dictionary 'features' of a model 'tiny'" in capsys.readouterr().err
    harvesting.harvest(settings, _spec(parts))
    before = list(dump(connect(settings.url)))
    other = random_dictionary(POST, 48, 40)
    save_dictionary(other, parts / "other")
    capsys.readouterr()
    words = _words(parts, "--save", "--name", "features")
    words[words.index(str(parts / "features"))] = str(parts / "other")
    assert run(words) == 1
    told = capsys.readouterr().err
    assert "tiny/features in the store has other weights" in told
    assert "leave --save out" in told
    assert list(dump(connect(settings.url))) == before
