"""The firing log: every firing of a harvest, in sorted runs on disk.

A run holds the firings of consecutive batches, ordered by feature. Reading a feature means joining
its slice of every run, so whatever depends on a feature's maximum (bands, histogram) is computed
from all of its firings, exactly, after one pass over the corpus. A run appears whole or not at
all; a killed harvest goes on after its last one. Two logs over different windows merge by putting
their runs side by side.

Cost: 8 bytes a firing on disk, and memory for one run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import HarvestError
from sae_core.files.atomic import atomic_file, atomic_folder
from sae_core.files.hashing import mix

RUN_FIRINGS = 4_000_000


@dataclass(frozen=True)
class LogHeader:
    """What all runs of a log share; logs merge only where headers agree.

    Attributes:
        identity: one checksum of model, dictionary, corpus, windows and seed.
        d_sae: number of features.
        n_ctx: positions in a window.
        seed: what the sample of windows is drawn by whose joint firings are counted.
        joint_share: the share of windows in that sample.
    """

    identity: str
    d_sae: int
    n_ctx: int
    seed: int
    joint_share: float


@dataclass(frozen=True)
class FeatureFirings:
    """All firings of one feature, in the order of the harvest.

    Attributes:
        slots: `ordinal * n_ctx + position`, ascending, int64 [n]; ordinals count the log's windows.
        values: activations, float32 [n].
    """

    slots: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class _Run:
    """The firings of consecutive batches, in files that are read where they are needed.

    Attributes:
        values: activations, feature after feature, float32 [n].
        slots: `ordinal * n_ctx + position` within the run, uint32 [n].
        offsets: feature f's firings are `offsets[f]:offsets[f + 1]`, int64 [d_sae + 1].
        windows: window number of each ordinal, int64.
        n_tokens: text tokens behind these firings.
        batches: the first batch, and one behind the last.
        folder: where the files lie.
    """

    values: NDArray[np.float32]
    slots: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    windows: NDArray[np.int64]
    n_tokens: int
    batches: tuple[int, int]
    folder: Path


class FiringLog:
    """All firings of a harvest, as a folder of runs.

    Logs over different batches of one harvest merge in any order and grouping to the same log, so
    parts of a harvest may run in parallel or on several machines.

    Raises:
        HarvestError: the folder holds the log of another harvest.
    """

    def __init__(self, folder: Path, header: LogHeader) -> None:
        self.folder = folder
        self.header = header
        note = folder / "header.json"
        if not note.exists():
            with atomic_file(note) as draft:
                draft.write_text(json.dumps(header.__dict__))
        elif json.loads(note.read_text()) != header.__dict__:
            raise HarvestError(f"{folder} holds the log of another harvest: remove that folder.")
        for left in folder.glob(".run-*.part"):
            shutil.rmtree(left)
        self._runs = [self._open(path) for path in sorted(folder.glob("run-*"))]
        self._pending: list[tuple[NDArray[np.int64], ...]] = []
        self._values: list[NDArray[np.float32]] = []
        self._windows: list[NDArray[np.int64]] = []
        self._tokens = 0
        self._first_batch: int | None = None

    @property
    def batches_done(self) -> set[int]:
        """Numbers of the batches that lie safely in runs."""
        return {b for run in self._runs for b in range(*run.batches)}

    @property
    def n_tokens(self) -> int:
        """Text tokens behind the log's runs."""
        return sum(run.n_tokens for run in self._runs)

    @property
    def windows(self) -> NDArray[np.int64]:
        """Window number of each ordinal, [n_windows]."""
        return np.concatenate([np.zeros(0, np.int64), *(run.windows for run in self._runs)])

    def counts(self) -> NDArray[np.int64]:
        """Firings of each feature, [d_sae]."""
        total = np.zeros(self.header.d_sae, dtype=np.int64)
        for run in self._runs:
            total += np.diff(run.offsets)
        return total

    def append(
        self,
        batch: int,
        windows: NDArray[np.int64],
        n_tokens: int,
        slots: NDArray[np.int64],
        features: NDArray[np.int64],
        values: NDArray[np.float32],
    ) -> None:
        """Add one batch's firings; `slots` count positions within the batch, row by row.

        Batches of one run are consecutive. A run is written when it is full.
        """
        if self._first_batch is None:
            self._first_batch = batch
        base = sum(len(w) for w in self._windows) * self.header.n_ctx
        self._pending.append((slots + base, features))
        self._values.append(values)
        self._windows.append(windows)
        self._tokens += n_tokens
        if sum(map(len, self._values)) >= RUN_FIRINGS:
            self.flush(batch + 1)

    def flush(self, next_batch: int) -> None:
        """Write what is pending as a run."""
        if self._first_batch is None:
            return
        # Everything that waits, in the order of features; a stable sort keeps slots ascending.
        slots = np.concatenate([p[0] for p in self._pending]).astype(np.uint32)
        small = np.uint16 if self.header.d_sae <= 1 << 16 else np.uint32
        features = np.concatenate([p[1] for p in self._pending]).astype(small)
        values = np.concatenate(self._values)
        windows = np.concatenate(self._windows)
        order = np.argsort(features, kind="stable")
        counts = np.bincount(features, minlength=self.header.d_sae)
        path = self.folder / f"run-{self._first_batch:09d}"
        with atomic_folder(path) as draft:
            np.save(draft / "values.npy", values[order])
            np.save(draft / "slots.npy", slots[order])
            np.save(draft / "offsets.npy", np.concatenate([[0], np.cumsum(counts)]))
            np.save(draft / "windows.npy", windows)
            # Firings of the sampled windows again by themselves, in the order of the text.
            joint = self._in_joint_sample(windows)[slots // self.header.n_ctx]
            np.save(draft / "joint_slots.npy", slots[joint])
            np.save(draft / "joint_features.npy", features[joint])
            note = {"n_tokens": self._tokens, "batches": [self._first_batch, next_batch]}
            (draft / "run.json").write_text(json.dumps(note))
        self._runs.append(self._open(path))
        self._runs.sort(key=lambda run: run.batches)
        self._pending, self._values, self._windows = [], [], []
        self._tokens, self._first_batch = 0, None

    def merge(self, other: FiringLog) -> None:
        """Take over another log's runs (copied); both must stem from one harvest.

        Raises:
            HarvestError: the headers differ, or a batch lies in both.
        """
        if self.header != other.header:
            raise HarvestError("Only logs of the same model, dictionary, corpus and seed merge.")
        if both := self.batches_done & other.batches_done:
            raise HarvestError(f"Batch {min(both)} lies in both logs.")
        for run in other._runs:
            path = self.folder / run.folder.name
            with atomic_folder(path) as draft:
                shutil.copytree(run.folder, draft, dirs_exist_ok=True)
            self._runs.append(self._open(path))
        self._runs.sort(key=lambda run: run.batches)

    def read(self, first: int, last: int) -> list[FeatureFirings]:
        """All firings of the features `first` to `last - 1`."""
        columns: list[list[tuple[NDArray[np.int64], NDArray[np.float32]]]] = [
            [] for _ in range(first, last)
        ]
        # Runs follow one another: the slots of each begin where those before it end.
        base = 0
        for run in self._runs:
            at = run.offsets[first : last + 1]
            slots = run.slots[at[0] : at[-1]].astype(np.int64) + base
            values = np.asarray(run.values[at[0] : at[-1]])
            cut = at - at[0]
            for f in range(last - first):
                columns[f].append((slots[cut[f] : cut[f + 1]], values[cut[f] : cut[f + 1]]))
            base += len(run.windows) * self.header.n_ctx
        return [
            FeatureFirings(
                np.concatenate([np.zeros(0, np.int64), *(c[0] for c in column)]),
                np.concatenate([np.zeros(0, np.float32), *(c[1] for c in column)]),
            )
            for column in columns
        ]

    def runs(
        self,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Run by run the numbers of its windows, and slot within the run and feature of each of
        its firings, feature after feature."""
        for run in self._runs:
            features = np.repeat(np.arange(self.header.d_sae), np.diff(run.offsets))
            yield run.windows, run.slots.astype(np.int64), features

    def joint_firings(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Token and feature of each firing in the joint sample, run by run.

        Tokens are numbered 0, 1, ... within the run's part of the sample.
        """
        for run in self._runs:
            slots = np.load(run.folder / "joint_slots.npy")
            features = np.load(run.folder / "joint_features.npy").astype(np.int64)
            _, tokens = np.unique(slots, return_inverse=True)
            yield tokens.astype(np.int64), features

    def blocks(self, most_features: int, most_firings: int) -> Iterator[tuple[int, int]]:
        """Consecutive features, cut so that reading a block takes bounded memory.

        A feature with more firings than that is a block of its own.
        """
        counts = self.counts()
        first, firings = 0, 0
        for feature, count in enumerate(counts.tolist()):
            full = feature - first == most_features or firings + count > most_firings
            if full and feature > first:
                yield first, feature
                first, firings = feature, 0
            firings += count
        yield first, len(counts)

    def _in_joint_sample(self, windows: NDArray[np.int64]) -> NDArray[np.bool_]:
        draw = mix(self.header.seed, windows)
        return draw < np.uint64(min(self.header.joint_share * 2.0**64, 2.0**64 - 2048))

    @staticmethod
    def _open(path: Path) -> _Run:
        note = json.loads((path / "run.json").read_text())
        return _Run(
            # As plain arrays: slices of `memmap` cost several times as much.
            values=np.asarray(np.load(path / "values.npy", mmap_mode="r")),
            slots=np.asarray(np.load(path / "slots.npy", mmap_mode="r")),
            offsets=np.load(path / "offsets.npy"),
            windows=np.load(path / "windows.npy"),
            n_tokens=note["n_tokens"],
            batches=(note["batches"][0], note["batches"][1]),
            folder=path,
        )
