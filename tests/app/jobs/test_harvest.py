"""The whole way from a text to published pages, and what is left when it is killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.errors import FeaturescopeError, InvalidRequest
from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.database import connect
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.dump import dump
from app.web.search.phrase_search import PhraseSearch
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.checkpoint import save_dictionary
from sae_core.dictionaries.dictionary import Output
from sae_core.errors import CheckpointError, HarvestError, HookPointError
from sae_core.harvest.records import GroupKind
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a dictionary of it, and texts."""
    folder = tmp_path_factory.mktemp("parts")
    save_folder(tiny_gpt2(), folder / "tiny")
    save_dictionary(random_dictionary(POST, 48, architecture="topk"), folder / "features")
    (folder / "texts").mkdir()
    for n in range(40):
        lines = [f"def fox_{n}(dog): return {n} jumps over {n * k}" for k in range(n % 9 + 1)]
        (folder / "texts" / f"{n:02}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def _spec(parts: Path) -> SourceSpec:
    return SourceSpec(
        str(parts / "tiny"),
        dictionary=parts / "features",
        corpus=str(parts / "texts"),
        n_ctx=32,
    )


def _view(settings: Settings, name: str = "features") -> DictionaryView:
    return Store(connect(settings.url)).dictionary("tiny", name)


def test_a_harvest_is_published_with_its_figures(settings: Settings, parts: Path) -> None:
    harvesting.harvest(settings, _spec(parts))
    view = _view(settings)
    assert view.harvest is not None
    assert view.corpus is not None
    assert view.n_tokens == view.corpus.n_tokens
    assert view.evaluation is not None
    assert 0 < view.evaluation["l0"] <= 8
    assert view.evaluation["held_out"] in (True, False)
    store = Store(connect(settings.url))
    assert store.progress.all() == []
    total = sum(store.feature(view, index).record.firings for index in range(view.d_sae))
    assert total > 0
    assert list((settings.home / "harvests").iterdir()) == []


def test_what_is_published_is_not_harvested_again(
    settings: Settings, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harvesting.harvest(settings, _spec(parts))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was harvested again")

    monkeypatch.setattr(harvesting, "run_harvest", never)
    harvesting.harvest(settings, _spec(parts))
    with pytest.raises(AssertionError):
        harvesting.harvest(settings, _spec(parts), seed=1)


def test_rules_are_learnt_unless_they_are_not_wanted_and_added_when_they_are(
    settings: Settings, parts: Path
) -> None:
    harvesting.harvest(settings, _spec(parts), rules=False)
    store = Store(connect(settings.url))
    assert store.rules.of_feature(_view(settings), 0) is None
    harvesting.harvest(settings, _spec(parts))
    view = _view(settings)
    records = [store.rules.of_feature(view, index) for index in range(view.d_sae)]
    assert all(record is not None for record in records)
    rules = [record for record in records if record is not None and record.predicate is not None]
    assert rules
    for record in rules:
        assert record.sentence.startswith("Fires ")
        assert record.test is not None
        assert record.null is not None
        assert record.null.count == 99
        assert record.documents == 20
    # Without them wanted, what is there with them is good enough.
    harvesting.harvest(settings, _spec(parts), rules=False)
    assert _view(settings).digest == view.digest


def test_text_and_firings_are_kept_unless_they_are_not_wanted(
    settings: Settings, parts: Path
) -> None:
    store = Store(connect(settings.url))
    harvesting.harvest(settings, _spec(parts), rules=False, phrases=False)
    assert store.search.kept.text(_view(settings)) is None
    harvesting.harvest(settings, _spec(parts), rules=False)
    view = _view(settings)
    text = store.search.kept.text(view)
    assert text is not None
    assert text.n_tokens == view.n_tokens
    assert text.counts.tolist() == store.scales(view).firings.tolist()
    found = PhraseSearch().search(store, view, "(dog): return")
    assert found.n_places == found.n_read > 40
    for feature, place in zip(found.features, found.examples, strict=True):
        assert 0 < feature.hits <= found.n_places
        assert place.fired
        assert place.document.endswith(".txt")
    # Kept before, not wanted now: nothing of it stays.
    harvesting.harvest(settings, _spec(parts), rules=False, phrases=False)
    assert store.search.kept.text(_view(settings)) is None


def test_top_contexts_are_ablated_once(
    settings: Settings, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harvesting.harvest(settings, _spec(parts), ablate_top=True)
    view, store = _view(settings), Store(connect(settings.url))
    for index in range(view.d_sae):
        page = store.feature(view, index)
        top = [g for g in page.record.groups if g.kind is GroupKind.TOP]
        assert {int(w) for g in top for w in g.examples.windows} <= page.effects.keys()
        assert page.landing is not None
        best = [
            max(0.0, *page.effects[int(w)].loss_change.tolist(), 0.0)
            for g in top
            for w in g.examples.windows
        ]
        assert page.landing.contexts == len(best)
        assert page.landing.effect == (pytest.approx(sum(best) / len(best)) if best else None)
    before = list(dump(connect(settings.url)))

    def never(*_: object) -> None:
        raise AssertionError("it was ablated again")

    monkeypatch.setattr(harvesting, "ablate", never)
    harvesting.harvest(settings, _spec(parts), ablate_top=True)
    assert list(dump(connect(settings.url))) == before


def test_another_dictionary_of_the_same_name_needs_consent(settings: Settings, parts: Path) -> None:
    def neurons(layer: int) -> SourceSpec:
        return SourceSpec(
            str(parts / "tiny"),
            neurons=f"blocks.{layer}.mlp.hook_post",
            name="neurons",
            corpus=str(parts / "texts"),
            n_ctx=32,
        )

    harvesting.harvest(settings, neurons(1), tokens=300)
    before = list(dump(connect(settings.url)))
    with pytest.raises(InvalidRequest, match=r"another dictionary tiny/neurons, at blocks\.1"):
        harvesting.harvest(settings, neurons(2), tokens=300)
    assert list(dump(connect(settings.url))) == before
    harvesting.harvest(settings, neurons(2), tokens=300, replace=True)
    assert _view(settings, "neurons").hook_point == "blocks.2.mlp.hook_post"


def test_folders_that_moved_are_found_again(
    settings: Settings, parts: Path, tmp_path: Path
) -> None:
    harvesting.harvest(settings, _spec(parts), tokens=300)
    moved = tmp_path / "moved"
    shutil.copytree(parts, moved)
    spec = SourceSpec(
        str(moved / "tiny"),
        dictionary=moved / "features",
        corpus=str(parts / "texts"),
        n_ctx=32,
    )
    before = _view(settings)
    harvesting.harvest(settings, spec, tokens=300)
    after = _view(settings)
    assert after.harvest == before.harvest
    assert (after.model_path, after.path) == (str(moved / "tiny"), str(moved / "features"))


def test_two_harvests_of_the_same_do_not_meet(settings: Settings, parts: Path) -> None:
    def again(*_: object, **__: object) -> None:
        with pytest.raises(HarvestError, match="Another process harvests tiny/features"):
            harvesting.harvest(settings, _spec(parts), tokens=300)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harvesting, "run_harvest", again)
        with pytest.raises(KeyboardInterrupt):
            harvesting.harvest(settings, _spec(parts), tokens=300)
    harvesting.harvest(settings, _spec(parts), tokens=300)


def test_too_little_text_is_a_sentence(settings: Settings, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("x")
    spec = SourceSpec(
        str(parts / "tiny"), dictionary=parts / "features", corpus=str(tmp_path / "one.txt")
    )
    with pytest.raises(HarvestError, match="too few to evaluate on"):
        harvesting.harvest(settings, spec)


def test_neurons_name_the_features_that_write_to_them(settings: Settings, parts: Path) -> None:
    spec = SourceSpec(
        str(parts / "tiny"),
        neurons=POST,
        corpus=str(parts / "texts"),
        n_ctx=32,
        writers=parts / "features",
        writers_name="features",
    )
    harvesting.harvest(settings, spec, tokens=500)
    view = _view(settings, f"neurons {POST}")
    assert view.is_neurons
    assert view.details["writers"] == "features"
    record = Store(connect(settings.url)).feature(view, 3).record
    assert len(record.neurons.ids) == 10


def test_writers_write_to_the_neurons(settings: Settings, parts: Path, tmp_path: Path) -> None:
    reads_them = StandardDictionary(POST, 48, 8, False, Output("blocks.1.hook_mlp_out", 32))
    save_dictionary(reads_them, tmp_path / "reader")
    spec = SourceSpec(
        str(parts / "tiny"), neurons=POST, corpus=str(parts / "texts"), writers=tmp_path / "reader"
    )
    with pytest.raises(InvalidRequest, match=r"writes to 32 neurons at .*hook_mlp_out, not "):
        harvesting.harvest(settings, spec, tokens=500)


def test_a_killed_harvest_leaves_the_same_store(tmp_path: Path, parts: Path) -> None:
    arguments = ["harvest", "--model", parts / "tiny", "--dictionary", parts / "features"]
    arguments += ["--corpus", parts / "texts", "--context", "32"]
    command = [sys.executable, "-m", "app", *map(str, arguments)]

    def run(home: Path, kill_after: float | None) -> None:
        environment = {**os.environ, "FEATURESCOPE_HOME": str(home), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            if kill_after is not None:
                time.sleep(kill_after)
                process.send_signal(signal.SIGKILL)
        if kill_after is None:
            assert process.returncode == 0

    begin = time.monotonic()
    run(tmp_path / "whole", None)
    seconds = time.monotonic() - begin
    draw = random.Random(0)
    for _ in range(3):
        run(tmp_path / "killed", draw.uniform(0.3, 1.0) * seconds)
    run(tmp_path / "killed", None)
    whole, killed = (
        "\n".join(dump(connect(f"sqlite:///{tmp_path / name / 'featurescope.db'}")))
        for name in ("whole", "killed")
    )
    assert killed == whole


def test_parts_that_do_not_fit_are_refused_and_nothing_changes(
    settings: Settings, parts: Path, tmp_path: Path
) -> None:
    harvesting.harvest(settings, _spec(parts))
    before = list(dump(connect(settings.url)))
    narrow = TopKDictionary(POST, 47, 24, 4)
    save_dictionary(narrow, tmp_path / "features")
    elsewhere = TopKDictionary("blocks.7.mlp.hook_post", 48, 24, 4)
    save_dictionary(elsewhere, tmp_path / "elsewhere")
    broken = tmp_path / "broken"
    save_dictionary(narrow, broken)
    weights = broken / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    cases: list[tuple[Path, type[FeaturescopeError], str]] = [
        (tmp_path / "features", HookPointError, "width 47.* width 48"),
        (tmp_path / "elsewhere", HookPointError, r"blocks\.7"),
        (broken, CheckpointError, "damaged or incomplete"),
        (tmp_path / "nowhere", CheckpointError, "nowhere"),
    ]
    for folder, error, sentence in cases:
        spec = SourceSpec(
            str(parts / "tiny"), dictionary=folder, name="features", corpus=str(parts / "texts")
        )
        with pytest.raises(error, match=sentence):
            harvesting.harvest(settings, spec)
    too_long = SourceSpec(
        str(parts / "tiny"), dictionary=parts / "features", corpus=str(parts / "texts"), n_ctx=65
    )
    with pytest.raises(InvalidRequest, match=r"65 tokens does not fit .* 2 to 64"):
        harvesting.harvest(settings, too_long)
    with pytest.raises(InvalidRequest, match="either"):
        SourceSpec(str(parts / "tiny"))
    for name in ("a/b", "", "../x", ".", "a\nb"):
        with pytest.raises(InvalidRequest, match="cannot be part of an address"):
            SourceSpec(str(parts / "tiny"), neurons=POST, model_name="m", name=name or " ")
    assert list(dump(connect(settings.url))) == before
