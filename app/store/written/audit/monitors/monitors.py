"""Monitors and their alarms. Reached as `Store.audit.monitors`."""

from __future__ import annotations

import hashlib
import json
import uuid

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update

from app.errors import NotFound, StoreError
from app.store.database import reading, writing
from app.store.tables.catalogue import canonical
from app.store.written.audit.monitors.records import (
    AlarmRecord,
    AlarmView,
    MonitorLine,
    MonitorRecord,
    MonitorView,
    details_of,
)
from app.store.written.audit.monitors.schema import StoredAlarm, StoredMonitor
from app.store.written.kept_once import kept_once, newest_first, row_asked, row_named
from app.store.written.texts import checked_line, now
from sae_core.errors import MonitorError

MOST_MONITORS = 1_000
MOST_ALARMS = 1_000  # that are kept of each monitor
LONGEST_TITLE = 200
SENT = "sent"
_EXCERPT = ("before", "token", "behind")
_TABLE = StoredMonitor.__table__
_LINE = (
    StoredMonitor.name,
    StoredMonitor.title,
    StoredMonitor.model,
    StoredMonitor.dictionary,
    StoredMonitor.raised,
    StoredMonitor.created,
)


class KeptMonitors:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[MonitorLine]:
        """All monitors, the newest first."""
        return [MonitorLine(**row) for row in newest_first(self._engine, StoredMonitor, _LINE)]

    def view(self, name: str) -> MonitorView:
        """One monitor.

        Raises:
            NotFound: there is none of that name.
            StoreError: it is damaged.
        """
        if (row := row_named(self._engine, StoredMonitor, [_TABLE], name)) is None:
            raise _unknown(name)
        return _view(row)

    def asked(self, question: str) -> MonitorView | None:
        """The monitor that answers a question, by the SHA-256 of all that decides it."""
        row = row_asked(self._engine, StoredMonitor, [_TABLE], question)
        return None if row is None else _view(row)

    def save(self, record: MonitorRecord) -> MonitorView:
        """Keep a monitor; the very same is kept once.

        Raises:
            InvalidRequest: its title is too long, or there are too many monitors.
        """
        title = checked_line(record.title, "a title", LONGEST_TITLE) or "monitor"
        details = canonical(record.details.as_json())
        content = f"{title}\n{record.model}\n{record.dictionary}\n{details}"
        key = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
        with writing(self._engine, alone=True) as connection:
            name = kept_once(
                *(connection, StoredMonitor, key, MOST_MONITORS, "forget --monitor NAME"),
                model=record.model,
                dictionary=record.dictionary,
                checksum=record.checksum,
                question=record.question,
                title=title,
                details=details,
                raised=0,
                unsent=0,
            )
        return self.view(name)

    def forget(self, name: str) -> None:
        """Take a monitor out of the store, with its alarms.

        Raises:
            NotFound: there is no such monitor.
        """
        with writing(self._engine, alone=True) as connection:
            key = _key(connection, name)
            connection.execute(delete(StoredAlarm).where(StoredAlarm.monitor_id == key))
            connection.execute(delete(StoredMonitor).where(StoredMonitor.id == key))

    def alarms(self, name: str, most: int = MOST_ALARMS) -> list[AlarmView]:
        """The newest alarms of a monitor, the newest first.

        Raises:
            NotFound: there is no such monitor.
        """
        with reading(self._engine) as connection:
            query = (
                select(StoredAlarm.__table__)
                .where(StoredAlarm.monitor_id == _key(connection, name))
                .order_by(StoredAlarm.created.desc(), StoredAlarm.id)
                .limit(most)
            )
            return [_alarm(name, row) for row in connection.execute(query).mappings()]

    def raise_alarm(self, alarm: AlarmRecord, webhook: str) -> None:
        """Keep an alarm; beyond the newest ones the oldest go.

        Args:
            alarm: what was raised.
            webhook: `SENT`, or why it was not; empty: there is no webhook.

        Raises:
            NotFound: the monitor has been forgotten.
        """
        excerpt = [part.encode("utf-16-le", "surrogatepass") for part in alarm.excerpt]
        shown = [part.decode("utf-16-le", "replace").replace("\x00", "\ufffd") for part in excerpt]
        moment = now()
        with writing(self._engine, alone=True) as connection:
            key = _key(connection, alarm.monitor)
            connection.execute(
                insert(StoredAlarm).values(
                    id=uuid.uuid4().hex,
                    monitor_id=key,
                    source=alarm.source,
                    turn=alarm.turn,
                    level=alarm.level,
                    action=alarm.action,
                    excerpt=canonical(dict(zip(_EXCERPT, shown, strict=True))),
                    webhook=webhook,
                    created=moment,
                    changed=moment,
                )
            )
            unsent = int(webhook not in ("", SENT))
            connection.execute(
                update(StoredMonitor)
                .where(StoredMonitor.id == key)
                .values(raised=StoredMonitor.raised + 1, unsent=StoredMonitor.unsent + unsent)
            )
            old = (
                select(StoredAlarm.id)
                .where(StoredAlarm.monitor_id == key)
                .order_by(StoredAlarm.created.desc(), StoredAlarm.id)
                .offset(MOST_ALARMS)
            )
            connection.execute(
                delete(StoredAlarm).where(StoredAlarm.id.in_(list(connection.scalars(old))))
            )


def _key(connection: Connection, name: str) -> str:
    key: str | None = connection.scalar(select(StoredMonitor.id).where(StoredMonitor.name == name))
    if key is None:
        raise _unknown(name)
    return key


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no monitor {name!r:.80}. /monitors names all that there are.")


def _view(row: RowMapping) -> MonitorView:
    names = ("model", "dictionary", "checksum", "question", "title")
    try:
        details = details_of(json.loads(row["details"]))
    except (MonitorError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"The monitor {row['name']} is damaged. Restore the database from a copy, or make it "
            "anew."
        ) from error
    record = MonitorRecord(**{name: row[name] for name in names}, details=details)
    return MonitorView(row["name"], record, row["raised"], row["unsent"], row["created"])


def _alarm(name: str, row: RowMapping) -> AlarmView:
    excerpt = json.loads(row["excerpt"])
    before, token, behind = (str(excerpt[name]) for name in _EXCERPT)
    record = AlarmRecord(
        monitor=name,
        source=row["source"],
        turn=row["turn"],
        level=row["level"],
        action=row["action"],
        excerpt=(before, token, behind),
    )
    return AlarmView(row["id"], record, row["webhook"], row["created"])
