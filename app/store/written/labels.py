"""Labels with their history and votes. Reached as `Store.labels`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Engine, delete, insert, select

from app.errors import InvalidRequest
from app.store.annotations import StoredLabel, StoredLabelVersion, StoredLabelVote
from app.store.database import reading, writing
from app.store.types.annotations import KeptEdit, LabelKind, LabelVersion, LabelView, NewLabel
from app.store.types.catalogue import DictionaryView
from app.store.written.label_rows import (
    change_label,
    check_feature,
    checked_label,
    former_version,
    imported_id,
    insert_label,
    label_row,
    label_view,
    label_views,
    same_label,
    version_view,
)
from app.store.written.label_texts import refresh, shown_texts
from app.store.written.texts import checked_author, now, subject


class Labels:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Writers come one after the other, and each keeps the table's own column of labels in step.

    Args:
        engine: as of `Store`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def texts(self, dictionary: DictionaryView, indices: Collection[int]) -> dict[int, str]:
        """What some features are called, in one query; those without a label are left out."""
        with reading(self._engine) as connection:
            return shown_texts(connection, dictionary.id, indices)

    def of(self, dictionary: DictionaryView, index: int) -> list[LabelView]:
        """All labels of a feature, the best first, those that were taken back last."""
        with reading(self._engine) as connection:
            return label_views(connection, subject(dictionary), index)

    def every(self, dictionary: DictionaryView) -> list[LabelView]:
        """All labels of a dictionary by feature, each feature's best first."""
        with reading(self._engine) as connection:
            return label_views(connection, subject(dictionary))

    def history(self, dictionary: DictionaryView, index: int, label: str) -> list[LabelVersion]:
        """All that a label was, the newest first.

        Raises:
            NotFound: the feature has no such label.
        """
        with reading(self._engine) as connection:
            label_row(connection, dictionary, index, label)
            query = (
                select(StoredLabelVersion.__table__)
                .where(StoredLabelVersion.label_id == label)
                .order_by(
                    StoredLabelVersion.number.desc(),
                    StoredLabelVersion.changed.desc(),
                    StoredLabelVersion.id,
                )
            )
            return [version_view(row) for row in connection.execute(query).mappings()]

    def add(
        self,
        dictionary: DictionaryView,
        index: int,
        text: str,
        note: str = "",
        author: str = "",
        kind: LabelKind = LabelKind.PERSON,
    ) -> LabelView:
        """Say what a feature means. The same said twice by the same author is one label.

        Raises:
            InvalidRequest: a text is empty or too long, or the feature has too many labels.
            NotFound: there is no such feature.
        """
        new = checked_label(NewLabel(index, text, note, author, kind, now()))
        check_feature(dictionary, index)
        with writing(self._engine, alone=True) as connection:
            key = same_label(connection, subject(dictionary), new)
            if key is None:
                key = insert_label(connection, dictionary, new)
                refresh(connection, subject(dictionary), [index])
            return label_view(connection, dictionary, index, key)

    def take(self, dictionary: DictionaryView, labels: Sequence[NewLabel]) -> int:
        """Labels from elsewhere, all of them or none; how many the store did not have.

        One with the text and the author of another of its feature is the same label, and stays as
        it is, taken back or not.

        Raises:
            InvalidRequest: as for `add`.
            NotFound: there is no such feature.
        """
        checked_ones = [checked_label(label) for label in labels]
        for label in checked_ones:
            check_feature(dictionary, label.index)
        key = subject(dictionary)
        with writing(self._engine, alone=True) as connection:
            query = select(StoredLabel.index, StoredLabel.text, StoredLabel.author)
            kept = connection.execute(query.where(StoredLabel.subject == key))
            there = {(number, text, author) for number, text, author in kept}
            ids = set(connection.scalars(select(StoredLabel.id).where(StoredLabel.subject == key)))
            before, fresh = len(ids), set()
            for label in _in_order(checked_ones):
                label_id = imported_id(key, label)
                if (label.index, label.text, label.author) not in there and label_id not in ids:
                    insert_label(connection, dictionary, label, label_id)
                    ids.add(label_id)
                    fresh.add(label.index)
            refresh(connection, key, fresh)
        return len(ids) - before

    def edit(
        self,
        dictionary: DictionaryView,
        index: int,
        label: str,
        version: int,
        text: str,
        note: str = "",
        author: str = "",
    ) -> KeptEdit:
        """Change a label. What was there before stays in its history.

        Where somebody else changed it since `version`, both texts are kept: this one becomes a
        label of its own.

        Raises:
            InvalidRequest: a text is empty or too long, or the feature has too many labels.
            NotFound: the feature has no such label.
        """
        new = checked_label(NewLabel(index, text, note, author, LabelKind.PERSON, now()))
        with writing(self._engine, alone=True) as connection:
            row = label_row(connection, dictionary, index, label)
            key, beside = label, None
            if (row["text"], row["note"], row["withdrawn"]) != (new.text, new.note, 0):
                if row["version"] == version:
                    change_label(connection, row, new.text, new.note, new.author, withdrawn=False)
                else:
                    beside = label_view(connection, dictionary, index, label)
                    key = same_label(connection, subject(dictionary), new) or insert_label(
                        connection, dictionary, new
                    )
                refresh(connection, subject(dictionary), [index])
            return KeptEdit(label_view(connection, dictionary, index, key), beside)

    def withdraw(
        self, dictionary: DictionaryView, index: int, label: str, author: str = ""
    ) -> LabelView:
        """Take a label back; it stays in the store, and `restore` brings it again.

        Raises:
            NotFound: the feature has no such label.
        """
        with writing(self._engine, alone=True) as connection:
            row = label_row(connection, dictionary, index, label)
            if not row["withdrawn"]:
                change_label(connection, row, row["text"], row["note"], author, withdrawn=True)
                refresh(connection, subject(dictionary), [index])
            return label_view(connection, dictionary, index, label)

    def restore(
        self,
        dictionary: DictionaryView,
        index: int,
        label: str,
        version: str = "",
        author: str = "",
    ) -> LabelView:
        """Make a label what it was: undo. That, too, can be undone.

        Args:
            dictionary: of the feature.
            index: of the feature.
            label: its id.
            version: id of the version that it becomes; empty: the one before the present one, or,
                where the label was taken back, what it was then.
            author: who does it.

        Raises:
            InvalidRequest: there is no version before.
            NotFound: the feature has no such label, or the label no such version.
        """
        with writing(self._engine, alone=True) as connection:
            row = label_row(connection, dictionary, index, label)
            wanted = former_version(connection, row, version)
            change_label(connection, row, wanted.text, wanted.note, author, withdrawn=False)
            refresh(connection, subject(dictionary), [index])
            return label_view(connection, dictionary, index, label)

    def vote(
        self, dictionary: DictionaryView, index: int, label: str, voter: str, value: int
    ) -> LabelView:
        """Say that a label is right (1) or wrong (-1), or take that back (0): one vote a name.

        Raises:
            InvalidRequest: there is no name, or no such value.
            NotFound: the feature has no such label.
        """
        voter = checked_author(voter)
        if not voter:
            raise InvalidRequest("A vote needs a name: give yours first.", "author")
        if value not in (-1, 0, 1):
            raise InvalidRequest(f"A vote is 1, -1 or 0, not {value}.", "value")
        with writing(self._engine, alone=True) as connection:
            label_row(connection, dictionary, index, label)
            here = (StoredLabelVote.label_id == label, StoredLabelVote.voter == voter)
            connection.execute(delete(StoredLabelVote).where(*here))
            connection.execute(
                insert(StoredLabelVote).values(
                    label_id=label, voter=voter, value=value, changed=now()
                )
            )
            refresh(connection, subject(dictionary), [index])
            return label_view(connection, dictionary, index, label)


def _in_order(labels: Iterable[NewLabel]) -> Iterator[NewLabel]:
    """The same; of a feature's labels without a time the earlier ones count as newer."""
    seen: dict[int, int] = {}
    for label in labels:
        if label.created > 0:
            yield label
        else:
            seen[label.index] = before = seen.get(label.index, -1) + 1
            yield replace(label, created=-before / 1000)
