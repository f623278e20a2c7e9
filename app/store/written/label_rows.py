"""Labels as rows: inserted, changed, read. Used by `Labels` alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from app.errors import InvalidRequest, NotFound
from app.store.annotations import StoredLabel, StoredLabelVersion, StoredLabelVote
from app.store.columns import fits
from app.store.types.annotations import LabelKind, LabelVersion, LabelView, NewLabel
from app.store.types.catalogue import DictionaryView
from app.store.written.texts import (
    LONGEST_LABEL,
    LONGEST_NOTE,
    checked,
    checked_author,
    checked_line,
    new_id,
    now,
    subject,
)

MOST = 200  # labels of one feature
_KINDS = {str(kind): kind for kind in LabelKind}


def check_feature(dictionary: DictionaryView, index: int) -> None:
    """Refuse a feature that a dictionary does not have.

    Raises:
        NotFound: it is such a one.
    """
    if not 0 <= index < dictionary.d_sae:
        raise NotFound(
            f"{dictionary.title} has features 0 to {dictionary.d_sae - 1}; there is no feature "
            f"{index}."
        )


def checked_label(label: NewLabel) -> NewLabel:
    """The label as it is kept.

    Raises:
        InvalidRequest: a text is empty or too long.
    """
    return NewLabel(
        label.index,
        checked_line(label.text, "a label", LONGEST_LABEL, empty=False),
        checked(label.note, "a note", LONGEST_NOTE),
        checked_author(label.author),
        label.kind,
        label.created,
    )


def same_label(connection: Connection, key: str, new: NewLabel) -> str | None:
    """The id of a label with that text by that author, if the feature has one."""
    query = select(StoredLabel.id).filter_by(
        subject=key, index=new.index, text=new.text, note=new.note, author=new.author, withdrawn=0
    )
    return connection.scalar(query.order_by(StoredLabel.id))


def imported_id(key: str, label: NewLabel) -> str:
    """The id of a label from elsewhere: the same wherever it is taken, so that stores merge."""
    return hashlib.sha256(
        json.dumps([key, label.index, label.text, label.author]).encode()
    ).hexdigest()[:32]


def insert_label(
    connection: Connection, dictionary: DictionaryView, new: NewLabel, label: str = ""
) -> str:
    """A label and its first version; `label`: its id, empty for a new one. The id.

    Raises:
        InvalidRequest: the feature has too many labels.
    """
    key = subject(dictionary)
    here = (StoredLabel.subject == key, StoredLabel.index == new.index)
    count = select(func.count()).select_from(StoredLabel).where(*here)
    if connection.scalars(count).one() >= MOST:
        raise InvalidRequest(f"Feature {new.index} has {MOST} labels, as many as are kept.")
    label = label or new_id()
    said = {"text": new.text, "note": new.note, "author": new.author, "changed": new.created}
    connection.execute(
        insert(StoredLabel).values(
            id=label,
            subject=key,
            index=new.index,
            kind=new.kind,
            created=new.created,
            version=1,
            withdrawn=0,
            **said,
        )
    )
    connection.execute(
        insert(StoredLabelVersion).values(
            id=new_id(), label_id=label, number=1, withdrawn=0, **said
        )
    )
    return label


def change_label(
    connection: Connection, row: RowMapping, text: str, note: str, author: str, withdrawn: bool
) -> None:
    """The label's next version; its author stays where nobody gives a name."""
    said: dict[str, Any] = {
        "text": text,
        "note": note,
        "author": checked_author(author) or row["author"],
        "changed": now(),
        "withdrawn": int(withdrawn),
    }
    number = row["version"] + 1
    connection.execute(
        update(StoredLabel).where(StoredLabel.id == row["id"]).values(version=number, **said)
    )
    connection.execute(
        insert(StoredLabelVersion).values(id=new_id(), label_id=row["id"], number=number, **said)
    )


def label_row(
    connection: Connection, dictionary: DictionaryView, index: int, label: str
) -> RowMapping:
    """A label as stored.

    Raises:
        NotFound: the feature has no such label.
    """
    here = {"id": label, "subject": subject(dictionary), "index": index}
    row = None
    if fits(index):
        row = connection.execute(select(StoredLabel.__table__).filter_by(**here)).mappings().first()
    if row is None:
        raise NotFound(f"Feature {index} of {dictionary.title} has no label {label!r:.80}.")
    return row


def former_version(connection: Connection, row: RowMapping, version: str) -> LabelVersion:
    """What a label was: in a version (by id), or before the present one.

    Raises:
        InvalidRequest: there is none before.
        NotFound: it has no such version.
    """
    query = select(StoredLabelVersion.__table__).where(StoredLabelVersion.label_id == row["id"])
    if version:
        found = connection.execute(query.where(StoredLabelVersion.id == version)).mappings().first()
        if found is None:
            raise NotFound(f"The label has no version {version!r:.80}.")
        return version_view(found)
    if not row["withdrawn"]:
        query = query.where(StoredLabelVersion.number < row["version"])
    ordered = query.order_by(StoredLabelVersion.number.desc(), StoredLabelVersion.changed.desc())
    found = connection.execute(ordered).mappings().first()
    if found is None:
        raise InvalidRequest("This is the label's first version: there is none before it.")
    return version_view(found)


def label_view(
    connection: Connection, dictionary: DictionaryView, index: int, label: str
) -> LabelView:
    """A label with its votes."""
    return next(
        view for view in label_views(connection, subject(dictionary), index) if view.id == label
    )


def label_views(connection: Connection, key: str, index: int | None = None) -> list[LabelView]:
    """Labels, the best of each feature first: as in `best_texts`."""
    here = [StoredLabel.subject == key]
    if index is not None:
        if not fits(index):
            return []
        here.append(StoredLabel.index == index)
    query = (
        select(StoredLabel.__table__, StoredLabelVote.voter, StoredLabelVote.value)
        .outerjoin(
            StoredLabelVote,
            (StoredLabelVote.label_id == StoredLabel.id) & (StoredLabelVote.value != 0),
        )
        .where(*here)
        .order_by(StoredLabel.id, StoredLabelVote.voter)
    )
    rows: dict[str, RowMapping] = {}
    votes: dict[str, dict[str, int]] = {}
    for row in connection.execute(query).mappings():  # a label once for each of its votes
        rows[row["id"]] = row
        cast = votes.setdefault(row["id"], {})
        if row["voter"] is not None:
            cast[row["voter"]] = row["value"]
    views = [
        LabelView(
            **{name: row[name] for name in _PLAIN},
            kind=_KINDS.get(row["kind"], LabelKind.IMPORT),
            withdrawn=bool(row["withdrawn"]),
            score=sum(votes[label].values()),
            votes=votes[label],
        )
        for label, row in rows.items()
    ]
    return sorted(views, key=lambda v: (v.index, v.withdrawn, -v.score, -v.changed, v.id))


_PLAIN = ("id", "index", "text", "note", "author", "created", "changed", "version")


def version_view(row: RowMapping) -> LabelVersion:
    """A stored version."""
    names = ("id", "number", "text", "note", "author", "changed")
    return LabelVersion(**{name: row[name] for name in names}, withdrawn=bool(row["withdrawn"]))
