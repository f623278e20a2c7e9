"""Cached pools: the same bits, made once, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from sae_core.errors import DiskError
from sae_core.training.data.activation_cache import CachedPools
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import PoolStream
from tests.sae_core.training.unique_text import in_folder, unique_text

HOOK = "blocks.0.mlp.hook_post"
LENGTHS = [5, 40, 1, 16, 23, 8, 8, 61]


def _pools(seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> tuple[object, TextPools]:
    model, windows = unique_text(LENGTHS)
    return model, TextPools(model, HOOK, windows, seed, 32, dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_batches_are_the_same_made_kept_or_read(tmp_path: Path, dtype: torch.dtype) -> None:
    _, plain = _pools(dtype=dtype)
    maker, making = _pools(dtype=dtype)
    reader, reading = _pools(dtype=dtype)
    streams = [
        PoolStream(plain, 10),
        PoolStream(CachedPools(making, tmp_path), 10),
        PoolStream(CachedPools(reading, tmp_path), 10),
    ]
    assert len({stream.identity for stream in streams}) == 1
    batches = [torch.cat([stream.batch(n) for n in range(40)]) for stream in streams]
    assert torch.equal(batches[0], batches[1])
    assert torch.equal(batches[0], batches[2])
    assert torch.equal(streams[0].mean, streams[2].mean)
    assert maker.forwards > 0
    assert reader.forwards == 0


def test_other_pools_have_another_folder(tmp_path: Path) -> None:
    for seed in (0, 1):
        CachedPools(_pools(seed)[1], tmp_path).pool(0)
    assert len(list(tmp_path.iterdir())) == 2
    assert in_folder(tmp_path) == ["000000.npy"] * 2


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    pool = CachedPools(_pools()[1], tmp_path).pool(3).clone()
    (path,) = tmp_path.rglob("*.npy")
    whole = path.read_bytes()
    for damaged in (b"", whole[:40], whole[:-5], b"x" * len(whole)):
        path.write_bytes(damaged)
        assert torch.equal(CachedPools(_pools()[1], tmp_path).pool(3), pool)
        assert path.read_bytes() == whole


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match=r"No space left on device.*batches are the same"):
        CachedPools(_pools()[1], tmp_path).pool(0)
    assert in_folder(tmp_path) == []
