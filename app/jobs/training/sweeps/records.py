"""Results of a sweep: one JSON file for each run, which tells all of it but the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import InvalidRequest
from app.jobs.training.sweeps.record_schema import FORMAT, RecordFile
from app.store.names import check_name
from app.store.store import Store
from app.store.types.runs import RunRecord, Status
from sae_core.errors import TrainingError
from sae_core.files.atomic import atomic_file
from sae_core.training.config import Normalisation, TrainingConfig, TrainingPoint

RESULTS = "results"  # the folder of the files, in that of the sweep
_COLUMNS = tuple(column.name for column in fields(TrainingPoint))
_APART = ("format", "curve")
_LONGEST = 60  # characters of a value in a sentence


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
    columns = {name: [_known(getattr(point, name)) for point in record.curve] for name in _COLUMNS}
    lines = [f' "{key}": {json.dumps(value, sort_keys=True)}' for key, value in values.items()]
    inner = [f'  "{name}": {json.dumps(column)}' for name, column in columns.items()]
    lines.append(' "curve": {\n' + ",\n".join(inner) + "\n }")
    with atomic_file(path_of(folder, record.run)) as draft:
        draft.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def read_record(path: Path) -> SweepRecord:
    """A run's record.

    Raises:
        InvalidRequest: it cannot be read, or is none of ours; the sentence names what is wrong.
    """
    try:
        text = path.read_text("utf-8")
        file = RecordFile.model_validate_json(text)
        record = _record(json.loads(text), file)
        if record.run != path.stem:
            raise ValueError(f"run is {record.run!r}, not the name of the file")
        check_name(record.name, "in the fields sweep and run")
    except ValidationError as error:
        raise _unfit(path, _first(error)) from error
    except (OSError, ValueError, InvalidRequest, TrainingError) as error:
        raise _unfit(path, str(error).removesuffix(".")) from error
    return record


def _record(values: dict[str, Any], file: RecordFile) -> SweepRecord:
    """A record of a file's JSON values, which are as they should be one by one.

    Raises:
        ValueError, TrainingError: together they make no sense.
    """
    columns = [getattr(file.curve, name) for name in _COLUMNS]
    if len(set(map(len, columns))) > 1:
        raise ValueError("the columns of curve have different lengths")
    rows = zip(*([math.nan if v is None else v for v in column] for column in columns), strict=True)
    curve = tuple(TrainingPoint(*row) for row in rows)
    if any(after.step <= before.step for before, after in pairwise(curve)):
        raise ValueError("curve.step does not rise")
    if file.status == "finished" and file.evaluation is None:
        raise ValueError("status is 'finished', but evaluation is missing")
    config = TrainingConfig(**values["config"])
    Normalisation(config.normalisation)
    return SweepRecord(**{key: values[key] for key in values if key not in _APART}, curve=curve)


def _unfit(path: Path, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"{path} is no result of a sweep: {what}. Take it away and run the sweep again."
    )


def _first(error: ValidationError) -> str:
    """The first thing that is wrong: where it stands, what it is, what it must be."""
    first = error.errors()[0]
    where, must = ".".join(map(str, first["loc"])), first["msg"].replace("Input", "it", 1)
    if not where:
        return must
    if first["type"] == "missing":
        return f"{where} is missing"
    shown = repr(first["input"])
    if len(shown) > _LONGEST:
        shown = shown[: _LONGEST - 1] + "…"
    return f"{where} is {shown}: {must}"


def _known(value: float) -> float | None:
    """JSON has no other numbers."""
    return value if math.isfinite(value) else None


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
