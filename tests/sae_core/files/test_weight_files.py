"""Files of tensors in every dress that torch and NumPy give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sae_core.errors import CheckpointError
from sae_core.files.weight_files import check_file, read_pickle, read_tensors

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves(tmp_path: Path, zipped: bool) -> None:
    torch.save(TENSORS | {"k": 3}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = read_pickle(tmp_path / "a.pt")
    assert found["k"] == 3
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        read_pickle(tmp_path / "a.pt")


def test_what_others_save(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors")
    assert torch.equal(read_tensors(tmp_path / "a.safetensors")["b"], TENSORS["b"])
    np.savez_compressed(tmp_path / "a.npz", a=TENSORS["a"].numpy())
    assert torch.equal(read_tensors(tmp_path / "a.npz")["a"], TENSORS["a"])
    np.savez(tmp_path / "words.npz", a=np.array(["x"]))
    with pytest.raises(CheckpointError, match="something other than arrays of numbers"):
        read_tensors(tmp_path / "words.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(CheckpointError, match="something other than arrays of numbers"):
        read_tensors(tmp_path / "one.npz")


def test_damaged_archives_are_told_from_others(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez_compressed(file, a=np.random.default_rng(0).normal(size=(40, 40)))
    whole = file.read_bytes()
    entry = whole.index(b"PK\x01\x02")  # of the archive's own list: what it says of packing
    for place, value in ((300, b"\xff" * 16), (entry + 10, b"\x63"), (entry + 6, b"\xff")):
        file.write_bytes(whole[:place] + value + whole[place + len(value) :])
        with pytest.raises(CheckpointError, match="damaged or incomplete"):
            read_tensors(file)


def test_programs_are_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")  # a pickle that calls os.system
    with pytest.raises(CheckpointError, match="could run code"):
        read_pickle(file)
    file.write_bytes(b"hello, this is no file of tensors")
    with pytest.raises(CheckpointError, match=r"a\.pt is damaged or incomplete|could run code"):
        read_pickle(file)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        check_file(tmp_path)
