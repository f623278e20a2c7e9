"""A training that was followed, for tests: three moments of the store's dictionary."""

from __future__ import annotations

import numpy as np

from app.store.types.moments import (
    TOP,
    Moment,
    MomentArrays,
    MomentsRecord,
    MomentsSettings,
)

N = 12  # features


def record(name: str = "demo <b>, mlp-12") -> MomentsRecord:
    """Features appear one after the other; the last is never found again."""
    values = np.full((3, N), 0.8, dtype=np.float32)
    values[0, 4:] = 0.1
    values[1, 8:] = 0.2
    values[:, N - 1] = np.nan
    rows = np.full((4, N, TOP), -1, dtype=np.int32)
    rows[:, :, 0] = np.arange(N) % 6
    return MomentsRecord(
        name=name,
        identity="e" * 64,
        model="demo",
        dictionary="mlp-12",
        checksum="b" * 64,
        d_sae=N,
        settings=MomentsSettings(300_000, 40, 0, "texts"),
        moments=(
            Moment("step-64", 64, 6.5, 0.05, "1" * 64),
            Moment("half \u202e", -1, 3.25, 0.05, "2" * 64),
            Moment("model", 1000, 2.25, 0.05, "3" * 64),
        ),
        arrays=MomentArrays(
            values=values,
            partners=np.where(np.isnan(values), -1, 3).astype(np.int32),
            same=values / 2,
            f1=np.where(np.arange(N) < 6, 0.5, np.nan) * np.ones((3, 1), dtype=np.float32),
            rows=rows,
            strengths=(rows >= 0).astype(np.float32) * 1.5,
            tokens=(np.arange(40) % 6).astype(np.int32),
            begins=np.array([0, 20], dtype=np.int32),
        ),
    )
