"""The command that compares: what it keeps, and what it refuses to compare."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from app.cli.main import run
from app.errors import InvalidRequest, NotFound
from app.jobs.comparison import parts as comparison_parts
from app.jobs.comparison.compare import ComparisonSpec, compare
from app.jobs.source import SourceSpec, open_source
from app.settings import Settings
from app.store.store import open_store
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.dump import dump
from sae_core.dictionaries.checkpoint import load_dictionary, save_dictionary
from sae_core.dictionaries.dictionary import TrainedOn
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2, tiny_llama

POST, RESID = "blocks.1.mlp.hook_post", "blocks.1.hook_resid_post"
WORDS = [f"word{n}" for n in range(40)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with dictionaries of three models, two of which read the same tokens."""
    folder = tmp_path_factory.mktemp("compared")
    save_folder(tiny_gpt2(), folder / "tiny")
    save_folder(tiny_llama(), folder / "llama")
    save_folder(tiny_gpt2(2), folder / "other")
    spelling = folder / "other" / "tokenizer.json"
    tokenizer = json.loads(spelling.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["w"], vocabulary["o"] = vocabulary["o"], vocabulary["w"]
    spelling.write_text(json.dumps(tokenizer))
    whole = random_dictionary(POST, 48, 24, "topk")
    save_dictionary(whole, folder / "whole")
    save_dictionary(whole, folder / "again")
    changed = random_dictionary(POST, 48, 24, "topk")
    with torch.no_grad():  # half of the directions are others, and one never fires
        for rows in (changed.W_dec[12:], changed.W_enc[:, 12:].T):
            rows.copy_(rows.flip(0).roll(7, 1))
        changed.W_enc[:, 3] = 0
        changed.b_enc[3] = -9
    save_dictionary(changed, folder / "half")
    save_dictionary(random_dictionary(POST, 48, 1), folder / "single")
    stream = random_dictionary(RESID, 32)
    stream.trained_on = TrainedOn(prepend_bos=True)
    save_dictionary(stream, folder / "stream")
    save_dictionary(random_dictionary("blocks.1.mlp.hook_post", 40), folder / "llama-post")
    (folder / "texts").mkdir()
    rng = np.random.default_rng(0)
    for n in range(30):
        (folder / "texts" / f"{n:02}.txt").write_text(" ".join(rng.choice(WORDS, 30)))
    settings = Settings(home=folder / "home")
    with open_store(settings) as store:
        for model, name in (
            *(("tiny", name) for name in ("whole", "again", "half", "single", "stream", None)),
            ("llama", "llama-post"),
            ("other", "single"),
        ):
            spec = SourceSpec(
                str(folder / model),
                dictionary=folder / name if name else None,
                neurons=None if name else POST,
                name=name or "neurons",
                corpus=str(folder / "texts"),
                n_ctx=32,
            )
            source = open_source(settings, spec)
            store.add_model(source.model_record())
            store.add_dictionary(source.dictionary_record(None))
    return folder


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(home / "home"))
    return Settings(home=home / "home")


def _spec(home: Path, *names: str, **changes: object) -> ComparisonSpec:
    targets = tuple((name.split("/")[0], name.split("/")[1]) for name in names)
    spec = ComparisonSpec(targets, tokens=2_000, corpus=str(home / "texts"), n_ctx=32)
    return replace(spec, **changes)  # type: ignore[arg-type]


def test_it_is_kept_whole_and_made_once(
    home: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "tiny/whole", "tiny/half", "tiny/neurons", "--tokens", "2k"]
    words += ["--corpus", str(home / "texts"), "--context", "32", "--name", "all"]
    assert run(words) == 0
    assert "tiny/whole in tiny/half" in capsys.readouterr().out
    with open_store(settings) as store:
        before = list(dump(store.engine))
        view = store.comparisons.view("all")
        pair = store.comparisons.pair(view, 0, 1)
    assert [d.dictionary for d in view.dictionaries] == ["whole", "half", "neurons"]
    assert view.settings.n_tokens >= 2_000
    assert view.dictionaries[1].silent >= 1
    # What is the same in both is found where it is, by both measures.
    assert pair.cosines is not None
    assert pair.cosines.indices[:12].tolist() == list(range(12))
    assert np.allclose(pair.cosines.values[:12], 1.0)
    assert run(words) == 0
    assert run([*words, "--seed", "1"]) == 1
    assert "another comparison named 'all'" in capsys.readouterr().err
    with open_store(settings) as store:
        assert list(dump(store.engine)) == before
    assert run(["compare", "--remove", "all"]) == 0
    assert run(["compare", "--remove", "all"]) == 1
    with open_store(settings) as store:
        assert store.comparisons.all() == []


def test_interrupted_it_leaves_nothing(
    home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.jobs.comparison.compare.compare_pair", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare(settings, _spec(home, "tiny/whole", "tiny/half"))
    with open_store(settings) as store:
        assert store.comparisons.all() == []


def test_the_same_weights_under_two_names_are_found_whole(home: Path, settings: Settings) -> None:
    view = compare(settings, _spec(home, "tiny/whole", "tiny/again"), replace=True)
    assert view.name == "whole with again"
    figures = view.pairs[0, 1].by_correlation
    assert figures is not None
    assert figures.found.share == 1.0


def test_other_openings_layers_and_models_read_the_same_tokens(
    home: Path, settings: Settings
) -> None:
    """A dictionary that was trained with BOS, one of another width, and another model's."""
    spec = _spec(home, "tiny/stream", "tiny/single", "llama/llama-post")
    view = compare(settings, spec, replace=True)
    assert view.pairs[0, 1].by_cosine is None  # the stream's coordinates are no neurons
    assert view.pairs[0, 2].by_cosine is None
    opened = comparison_parts.open_parts(
        settings, [_view(settings, *target) for target in spec.targets], spec.corpus, 32
    )
    assert len({part.windows.n_text for part in opened}) == 1
    assert {part.model.vocabulary.bos is None for part in opened} == {True, False}


def _view(settings: Settings, model: str, name: str) -> DictionaryView:
    with open_store(settings) as store:
        return store.dictionary(model, name)


def test_models_with_other_tokens_are_refused(home: Path, settings: Settings) -> None:
    with pytest.raises(InvalidRequest, match="tiny and other read text as different tokens"):
        compare(settings, _spec(home, "tiny/single", "other/single"))


def test_too_many_firings_are_refused(
    home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison_parts, "MOST_FIRINGS", 1_000)
    with pytest.raises(InvalidRequest, match="give --tokens"):
        compare(settings, _spec(home, "tiny/single", "tiny/neurons"))


def test_files_that_have_changed_are_refused(home: Path, settings: Settings) -> None:
    save_dictionary(random_dictionary(POST, 48, 30), home / "single")
    try:
        with pytest.raises(InvalidRequest, match="files of tiny/single have changed"):
            compare(settings, _spec(home, "tiny/whole", "tiny/single"))
    finally:
        save_dictionary(random_dictionary(POST, 48, 1), home / "single")
    assert load_dictionary(home / "single").d_sae == 1


@pytest.mark.parametrize(
    ("names", "changes", "sentence"),
    [
        (("tiny/whole",), {}, "at least two"),
        (("tiny/whole", "tiny/whole"), {}, "named twice"),
        (tuple(f"tiny/{n}" for n in range(13)), {}, "At most 12"),
        (("tiny/whole", "tiny/half"), {"bar": 0.0}, "A bar of 0"),
        (("tiny/whole", "tiny/half"), {"bar": float("nan")}, "A bar of nan"),
        (("tiny/whole", "tiny/half"), {"name": "a/b"}, "cannot be part of an address"),
    ],
)
def test_what_makes_no_sense_is_said(
    home: Path, names: tuple[str, ...], changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        _spec(home, *names, **changes)


def test_what_is_not_there_is_said(
    home: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotFound, match="no dictionary 'nothing'"):
        compare(settings, _spec(home, "tiny/whole", "tiny/nothing"))
    assert run(["compare"]) == 1
    assert "Say what to compare" in capsys.readouterr().err
    assert run(["compare", "--demo"]) == 1
    assert "featurescope demo --no-serve" in capsys.readouterr().err
