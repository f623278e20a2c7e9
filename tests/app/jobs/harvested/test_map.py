"""`featurescope map`: what it keeps, what it refuses, and that nothing half done stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.cli.main import run
from app.jobs.harvested import map as job
from app.settings import Settings
from app.store.store import open_store
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.checkpoint import dictionary_checksum, save_dictionary
from sae_core.errors import MapError
from tests import factories


def save(folder: Path, seed: int) -> str:
    """A dictionary of twelve features, one of them without a direction; its checksum."""
    made = StandardDictionary("blocks.0.mlp.hook_post", 8, 12)
    with torch.no_grad():
        made.W_dec.copy_(torch.randn(12, 8, generator=torch.Generator().manual_seed(seed)))
        made.W_dec[5] = 0.0
    save_dictionary(made, folder)
    return dictionary_checksum(folder)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path))
    checksum = save(tmp_path / "weights", 0)
    with open_store(Settings(home=tmp_path)) as store:
        store.add_model(factories.model())
        path = str(tmp_path / "weights")
        store.add_dictionary(factories.dictionary(path=path, checksum=checksum))
        store.add_dictionary(factories.dictionary("neurons", path=None))
        store.add_model(factories.model("elsewhere", path=""))
        store.add_dictionary(factories.dictionary("sae", "elsewhere"))
    return tmp_path


def kept(home: Path) -> list[list[int]] | None:
    with open_store(Settings(home=home)) as store:
        made = store.maps.of(store.dictionary("demo", "mlp-12"))
        return made.places.tolist() if made else None


def test_the_same_command_gives_the_same_map(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["map", "demo/mlp-12"]) == 0
    said = capsys.readouterr().out
    assert "11 features of demo/mlp-12 are laid out (by principal components)." in said
    assert "1 have no direction" in said
    first = kept(home)
    assert run(["map", "demo/mlp-12"]) == 0
    assert kept(home) == first
    assert run(["map", "demo/mlp-12", "--seed", "1"]) == 0
    assert kept(home) != first


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["demo/other"], "There is no dictionary 'other'"),
        (["demo/neurons"], "its directions are all orthogonal"),
        (["elsewhere/sae"], "imported without its weights"),
        (["mlp-12"], "names no dictionary"),
        (["demo/mlp-12", "--seed", "-1"], "A seed is a whole number"),
    ],
)
def test_what_has_no_map(
    words: list[str], sentence: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["map", *words]) == 1
    assert sentence in capsys.readouterr().err


def test_other_weights_in_the_folder_are_not_taken_for_these(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(home / "weights", 1)
    assert run(["map", "demo/mlp-12"]) == 1
    assert "holds other weights than those that the store shows" in capsys.readouterr().err


def test_an_interruption_leaves_the_map_of_before(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["map", "demo/mlp-12"]) == 0
    before = kept(home)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "lay_out", interrupted)
    assert run(["map", "demo/mlp-12", "--seed", "3"]) == 130
    assert "the map of before, if any, stays" in capsys.readouterr().err
    assert kept(home) == before


def test_the_extra_is_named_before_anything_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise MapError("A map needs umap-learn: pip install 'featurescope[map]'.")

    monkeypatch.setattr(job, "check_umap", missing)
    assert run(["map", "demo/other"]) == 1
    assert "pip install 'featurescope[map]'" in capsys.readouterr().err
    assert kept(home) is None


def test_heads_are_only_counted_where_directions_are_made_of_them(home: Path) -> None:
    with open_store(Settings(home=home)) as store:
        store.add_dictionary(factories.dictionary(hook_point="blocks.0.attn.hook_z"))
        view = store.dictionary("demo", "mlp-12")
        neurons = store.dictionary("demo", "neurons")
    assert job._heads(view, 8) == 4  # of demo/model, which the factories name
    assert job._heads(view, 6) == 0
    assert job._heads(neurons, 8) == 0
    # Rows lie where a transcoder writes, whatever it reads.
    assert job._heads(replace(view, details={"writes at": "blocks.0.hook_attn_out"}), 8) == 0
    assert job._heads(replace(neurons, details={"writes at": view.hook_point}), 8) == 4
