"""Trainings and their curves. Reached as `Store.runs`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update

from app.errors import InvalidRequest, NotFound
from app.store.database import reading, writing
from app.store.schema import (
    StoredDictionary,
    StoredHarvest,
    StoredModel,
    StoredRun,
    StoredRunPace,
    StoredRunPoint,
)
from app.store.tables.catalogue import canonical, next_id
from app.store.types.runs import RunCurve, RunRecord, RunView, Status
from sae_core.training.config import TrainingPoint

_FIGURES = ("loss", "l0", "fvu", "dead_share", "penalty")
_JSON = ("config", "settings", "evaluation", "cost")
_TEXT = ("name", "sweep", "model", "hook_point", "status", "message", "folder", "checksum")
_NAMED = 20  # runs that a sentence names


class TrainingRuns:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: as of `Store`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self, sweep: str | None = None) -> list[RunView]:
        """Runs in the order in which they were added: of one sweep (empty: of none), or all."""
        with reading(self._engine) as connection:
            query = select(StoredRun).order_by(StoredRun.id)
            if sweep is not None:
                query = query.where(StoredRun.sweep == sweep)
            return _views(connection, connection.execute(query).mappings().all())

    def sweeps(self) -> dict[str, int]:
        """How many runs each sweep has, by name."""
        query = (
            select(StoredRun.sweep, func.count())
            .where(StoredRun.sweep != "")
            .group_by(StoredRun.sweep)
        )
        with reading(self._engine) as connection:
            return dict(connection.execute(query.order_by(StoredRun.sweep)).all())

    def curves(self, names: Collection[str]) -> list[RunCurve]:
        """Some runs with their curves, in the order in which they were added.

        Raises:
            NotFound: there is no run of such a name.
        """
        with reading(self._engine) as connection:
            query = select(StoredRun).where(StoredRun.name.in_(names)).order_by(StoredRun.id)
            rows = connection.execute(query).mappings().all()
            for name in sorted(set(names) - {row["name"] for row in rows}):
                raise NotFound(_unknown(connection, name))
            views = _views(connection, rows)
            return [
                RunCurve(view, _points(connection, row["id"]))
                for view, row in zip(views, rows, strict=True)
            ]

    def curve(self, name: str) -> RunCurve:
        """One run with its curves.

        Raises:
            NotFound: there is none of that name.
        """
        return self.curves([name])[0]

    def begin(self, record: RunRecord, replace: bool = False) -> None:
        """A run begins, or goes on: the points of the same run stay.

        Another run of that name gives way where it came to nothing (`replace`: in any case).

        Raises:
            InvalidRequest: the name belongs to another run, which runs or has finished.
        """
        with writing(self._engine, alone=True) as connection:
            old = (
                connection.execute(select(StoredRun).where(StoredRun.name == record.name))
                .mappings()
                .first()
            )
            if old is not None and not replace and not _same(old, record):
                if old["status"] in ("running", "finished"):
                    raise InvalidRequest(
                        f"The store has another run {record.name!r}, with other settings, which "
                        f"{'is running' if old['status'] == 'running' else 'has finished'}: choose "
                        "another --name."
                    )
                replace = True
            run_id = _put(connection, record, None if old is None else old["id"])
            if replace:
                _forget_points(connection, run_id, 0)
            last = connection.scalar(_last_steps().where(StoredRunPoint.run_id == run_id)) or 0
            _beat(connection, run_id, [(last, 0.0)], keep_speed=True)

    def add_points(self, name: str, points: Sequence[TrainingPoint]) -> None:
        """The next points of a run's curves; those from the first one's step on are replaced.

        Raises:
            NotFound: the run never began.
        """
        if not points:
            return
        with writing(self._engine) as connection:
            run_id = _id_of(connection, name)
            _forget_points(connection, run_id, points[0].step)
            _insert_points(connection, run_id, points)
            _beat(connection, run_id, [(p.step, p.tokens_per_second) for p in points])

    def end(self, name: str, status: Status, **outcome: Any) -> None:
        """A run ended.

        Args:
            name: of the run.
            status: how it ended.
            outcome: `message`, `folder`, `checksum`, `evaluation`, as in `RunRecord`.

        Raises:
            NotFound: the run never began.
        """
        evaluation: Mapping[str, Any] | None = outcome.pop("evaluation", None)
        values = outcome | {"evaluation": None if evaluation is None else canonical(evaluation)}
        with writing(self._engine) as connection:
            run_id = _id_of(connection, name)
            connection.execute(
                update(StoredRun).where(StoredRun.id == run_id).values(status=status, **values)
            )

    def put(self, record: RunRecord, points: Sequence[TrainingPoint]) -> None:
        """A run as a whole, in the place of one of that name."""
        with writing(self._engine, alone=True) as connection:
            old = connection.scalar(select(StoredRun.id).where(StoredRun.name == record.name))
            run_id = _put(connection, record, old)
            _forget_points(connection, run_id, 0)
            _insert_points(connection, run_id, points)
            _beat(connection, run_id, [(p.step, p.tokens_per_second) for p in points])

    def forget(self, name: str) -> None:
        """Take a run out of the store; its files stay.

        Raises:
            NotFound: there is none of that name.
        """
        with writing(self._engine) as connection:
            connection.execute(delete(StoredRun).where(StoredRun.id == _id_of(connection, name)))

    def forget_sweep(self, name: str) -> int:
        """Take a sweep's runs out of the store; how many there were."""
        with writing(self._engine) as connection:
            return connection.execute(delete(StoredRun).where(StoredRun.sweep == name)).rowcount


def _put(connection: Connection, record: RunRecord, old: int | None) -> int:
    """Insert or update a run's row; its id."""
    values: dict[str, Any] = {key: getattr(record, key) for key in _TEXT}
    for key in _JSON:
        value = getattr(record, key)
        values[key] = None if value is None else canonical(value)
    if old is not None:
        connection.execute(update(StoredRun).where(StoredRun.id == old).values(values))
        return old
    run_id = next_id(connection, StoredRun.__table__)
    connection.execute(insert(StoredRun).values(id=run_id, **values))
    return run_id


def _same(row: RowMapping, record: RunRecord) -> bool:
    """Whether a stored run trains the same dictionary."""
    stored = _record(row)
    return (row["config"] == canonical(record.config)) and all(
        getattr(stored, name) == getattr(record, name)
        for name in ("model", "hook_point", "output_hook_point", "skip", "sweep")
    )


def _forget_points(connection: Connection, run_id: int, step: int) -> None:
    """Delete the points from a step on."""
    for table in (StoredRunPoint, StoredRunPace):
        connection.execute(delete(table).where(table.run_id == run_id, table.step >= step))


def _insert_points(connection: Connection, run_id: int, points: Sequence[TrainingPoint]) -> None:
    rows = [
        {"run_id": run_id, "step": point.step, "tokens": point.tokens}
        | {key: _finite(getattr(point, key)) for key in _FIGURES}
        for point in points
    ]
    if rows:
        connection.execute(insert(StoredRunPoint), rows)


def _beat(
    connection: Connection,
    run_id: int,
    speeds: Sequence[tuple[int, float]],
    keep_speed: bool = False,
) -> None:
    """Say that a run is alive, at these steps and tokens/s."""
    now = time.time()
    for step, speed in speeds:
        here = (StoredRunPace.run_id == run_id, StoredRunPace.step == step)
        values = {"reported": now} if keep_speed else {"reported": now, "tokens_per_second": speed}
        if connection.execute(update(StoredRunPace).where(*here).values(values)).rowcount == 0:
            values = {"reported": now, "tokens_per_second": _finite(speed) or 0.0}
            connection.execute(insert(StoredRunPace).values(run_id=run_id, step=step, **values))


def _finite(value: float) -> float | None:
    """JSON and SQLite know no other numbers."""
    return float(value) if math.isfinite(value) else None


def _id_of(connection: Connection, name: str) -> int:
    run_id = connection.scalar(select(StoredRun.id).where(StoredRun.name == name))
    if run_id is None:
        raise NotFound(_unknown(connection, name))
    return run_id


def _unknown(connection: Connection, name: str) -> str:
    known = connection.scalars(
        select(StoredRun.name).order_by(StoredRun.id.desc()).limit(_NAMED)
    ).all()
    there = f"The latest are {', '.join(known)}." if known else "Nothing has been trained yet."
    return f"There is no run {name!r}. {there}"


def _last_steps() -> Any:
    return select(func.max(StoredRunPoint.step))


def _points(connection: Connection, run_id: int) -> tuple[TrainingPoint, ...]:
    speeds = select(StoredRunPace.step, StoredRunPace.tokens_per_second).where(
        StoredRunPace.run_id == run_id
    )
    paces = dict(connection.execute(speeds).all())
    query = (
        select(StoredRunPoint).where(StoredRunPoint.run_id == run_id).order_by(StoredRunPoint.step)
    )
    return tuple(
        _point(row, paces.get(row["step"], 0.0)) for row in connection.execute(query).mappings()
    )


def _point(row: RowMapping, speed: float) -> TrainingPoint:
    figures = {key: math.nan if row[key] is None else row[key] for key in _FIGURES}
    return TrainingPoint(step=row["step"], tokens=row["tokens"], tokens_per_second=speed, **figures)


def _views(connection: Connection, rows: Sequence[RowMapping]) -> list[RunView]:
    """Views of runs, with a fixed number of queries for all of them."""
    ids = [row["id"] for row in rows]
    # The last point of each run, with its pace.
    ends = (
        select(StoredRunPoint.run_id, func.max(StoredRunPoint.step))
        .group_by(StoredRunPoint.run_id)
        .subquery()
    )
    query = select(StoredRunPoint, StoredRunPace.tokens_per_second).join(
        ends, (ends.c[0] == StoredRunPoint.run_id) & (ends.c[1] == StoredRunPoint.step)
    )
    query = query.outerjoin(
        StoredRunPace,
        (StoredRunPace.run_id == StoredRunPoint.run_id)
        & (StoredRunPace.step == StoredRunPoint.step),
    )
    last = {
        row["run_id"]: _point(row, row["tokens_per_second"] or 0.0)
        for row in connection.execute(query.where(StoredRunPoint.run_id.in_(ids))).mappings()
    }
    # When the points of those that run were reported: a run that is silent for long has died.
    beats: dict[int, list[float]] = {}
    running = [row["id"] for row in rows if row["status"] == "running"]
    reports = select(StoredRunPace.run_id, StoredRunPace.reported).where(
        StoredRunPace.run_id.in_(running)
    )
    for run_id, reported in connection.execute(reports):
        beats.setdefault(run_id, []).append(reported)
    harvested = _harvested(connection, {row["checksum"] for row in rows if row["checksum"]})
    now = time.time()
    return [
        _view(row, last.get(row["id"]), sorted(beats.get(row["id"], [])), harvested, now)
        for row in rows
    ]


def _record(row: RowMapping) -> RunRecord:
    """A row of the table as it went in."""
    values: dict[str, Any] = {key: row[key] for key in _TEXT}
    values |= {key: None if row[key] is None else json.loads(row[key]) for key in _JSON}
    return RunRecord(**values)


def _view(
    row: RowMapping,
    last: TrainingPoint | None,
    beats: Sequence[float],
    harvested: Mapping[str, tuple[tuple[str, str], ...]],
    now: float,
) -> RunView:
    return RunView(
        record=_record(row),
        last=last,
        age_seconds=max(0.0, now - beats[-1]) if beats else None,
        point_seconds=beats[-1] - beats[-2] if len(beats) > 1 else 0.0,
        dictionaries=harvested.get(row["checksum"] or "", ()),
    )


def _harvested(
    connection: Connection, checksums: Collection[str]
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Names of the harvested dictionaries with those checksums."""
    query = (
        select(StoredDictionary.checksum, StoredModel.name, StoredDictionary.name)
        .join(StoredModel, StoredDictionary.model_id == StoredModel.id)
        .join(StoredHarvest, StoredHarvest.dictionary_id == StoredDictionary.id)
        .where(StoredDictionary.checksum.in_(checksums))
        .order_by(StoredModel.name, StoredDictionary.name)
    )
    names: dict[str, tuple[tuple[str, str], ...]] = {}
    for checksum, model, name in connection.execute(query):
        names[checksum] = (*names.get(checksum, ()), (model, name))
    return names
