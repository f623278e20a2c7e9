"""The checksum of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from sae_core.files.checksum import MODEL_FILES, folder_checksum


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def test_it_follows_names_and_contents(folder: Path) -> None:
    before = folder_checksum(folder)
    assert len(before) == 64
    (folder / "README.md").write_text("words change nothing")
    assert folder_checksum(folder) == before
    (folder / "model.safetensors").write_bytes(b"Weights")
    assert folder_checksum(folder) != before
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert folder_checksum(folder) != before


def test_what_lies_in_which_file_matters(tmp_path: Path) -> None:
    sums = set()
    for n, (one, other) in enumerate([("ab", "c"), ("a", "bc"), ("", "abc")]):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "a.json").write_text(one)
        (folder / "b.json").write_text(other)
        sums.add(folder_checksum(folder, ["*.json"]))
    assert len(sums) == 3


def test_links_are_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("linked")
    for pattern in MODEL_FILES:
        for path in folder.glob(pattern):
            (other / path.name).symlink_to(path)
    assert folder_checksum(other) == folder_checksum(folder)
