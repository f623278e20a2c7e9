"""Results of a sweep: one JSON file for each run, which tells all of it but the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.store import Store
from app.views_runs import RunRecord, Status
from sae_core.atomic import atomic_file
from sae_core.errors import TrainingError
from sae_core.training.config import TrainingConfig, TrainingPoint

FORMAT = 1
RESULTS = "results"  # the folder of the files, in that of the sweep
_FIGURES = ("l0", "fvu", "l_clean", "l_recon", "dead_share")  # those that pages cannot do without
_UNFIT = (ValueError, TypeError, KeyError, AttributeError, TrainingError)
_COLUMNS = tuple(column.name for column in fields(TrainingPoint))


@dataclass(frozen=True)
class SweepRecord:
    """A run of a sweep that finished or failed.

    Attributes:
        sweep: name of the sweep.
        run: name of the run in it.
        model: name of the language model.
        hook_point: where the dictionary reads.
        config: the fields of its `TrainingConfig`: JSON values.
        settings: what else the figures hang on, checksums included: JSON values.
        status: `finished` or `failed`.
        message: why it failed.
        evaluation: figures on held-out text; None: it failed.
        cost: `seconds` of training, `evaluation_seconds`, and `peak_bytes` of memory.
        checksum: of the dictionary; None: it failed.
        folder: of the dictionary, relative to the sweep's; None: it was not kept.
        curve: points of its curves.
    """

    sweep: str
    run: str
    model: str
    hook_point: str
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    status: Status
    message: str = ""
    evaluation: Mapping[str, Any] | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    checksum: str | None = None
    folder: str | None = None
    curve: Sequence[TrainingPoint] = ()

    @property
    def name(self) -> str:
        """What the run is called in the store."""
        return run_name(self.sweep, self.run)

    def stored(self, folder: Path) -> RunRecord:
        """As the store keeps it; `folder` is the sweep's."""
        return RunRecord(
            name=self.name,
            model=self.model,
            hook_point=self.hook_point,
            config=self.config,
            settings=self.settings,
            sweep=self.sweep,
            status=self.status,
            message=self.message,
            folder=None if self.folder is None else str((folder / self.folder).resolve()),
            checksum=self.checksum,
            evaluation=self.evaluation,
            cost=self.cost,
        )


def run_name(sweep: str, run: str) -> str:
    """What a run of a sweep is called in the store."""
    return f"{sweep}.{run}"


def path_of(folder: Path, run: str) -> Path:
    """The file of a run's record in a sweep's folder."""
    return folder / RESULTS / f"{run}.json"


def write_record(folder: Path, record: SweepRecord) -> None:
    """Write a run's file into a sweep's folder, whole or not at all.

    Raises:
        DiskError: it cannot be written.
    """
    values = {"format": FORMAT} | {
        item.name: getattr(record, item.name) for item in fields(record) if item.name != "curve"
    }
    columns = {name: [getattr(point, name) for point in record.curve] for name in _COLUMNS}
    lines = [f' "{key}": {json.dumps(value, sort_keys=True)}' for key, value in values.items()]
    inner = [f'  "{name}": {json.dumps(column)}' for name, column in columns.items()]
    lines.append(' "curve": {\n' + ",\n".join(inner) + "\n }")
    with atomic_file(path_of(folder, record.run)) as draft:
        draft.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def read_record(path: Path) -> SweepRecord:
    """A run's record.

    Raises:
        InvalidRequest: it cannot be read, or is none of ours.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        if values.pop("format") != FORMAT:
            raise ValueError("another format")
        columns = values.pop("curve")
        rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
        curve = tuple(TrainingPoint(*row) for row in rows)
        record = SweepRecord(**values, curve=curve)
        TrainingConfig(**record.config)
        for figure in _FIGURES if record.status == "finished" else ():
            float((record.evaluation or {})[figure])
    except (*_UNFIT, OSError) as error:
        raise InvalidRequest(
            f"{path} is no result of a sweep ({type(error).__name__}: {error}): take it away and "
            "run the sweep again."
        ) from error
    return record


def read_records(folder: Path) -> list[SweepRecord]:
    """All records in a sweep's folder, by name of the run.

    Raises:
        InvalidRequest: there is none, or one cannot be read.
    """
    paths = sorted((folder / RESULTS).glob("*.json"))
    if not paths:
        raise InvalidRequest(
            f"{folder} holds no results of a sweep: run one with `--out {folder}`."
        )
    return [read_record(path) for path in paths]


def import_sweep(store: Store, folder: Path) -> list[SweepRecord]:
    """Put a sweep's results into the store, in the place of those that it has of the same runs.

    Raises:
        InvalidRequest: there are none, or one cannot be read.
    """
    records = read_records(folder)
    for record in not_stored(store, folder, records):
        import_record(store, folder, record)
    return records


def not_stored(store: Store, folder: Path, records: Sequence[SweepRecord]) -> list[SweepRecord]:
    """Those of a sweep's records that the store has not, or has otherwise."""
    stored = {view.record.name: view.record for view in store.runs.all()}
    return [record for record in records if stored.get(record.name) != record.stored(folder)]


def import_record(store: Store, folder: Path, record: SweepRecord) -> None:
    """Put one run into the store."""
    store.runs.put(record.stored(folder), record.curve)
