"""Lists of features. Reached as `Store.lists`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, false, func, insert, select, update

from app.errors import InvalidRequest, NotFound
from app.store.annotations import StoredList, StoredListItem
from app.store.columns import fits
from app.store.database import reading, writing
from app.store.names import free_name
from app.store.types.annotations import ListItem, ListView
from app.store.types.catalogue import DictionaryView
from app.store.written.label_rows import check_feature
from app.store.written.label_texts import best_texts
from app.store.written.texts import (
    LONGEST_NOTE,
    checked,
    checked_line,
    new_id,
    now,
    subject,
    subjects,
)

STARRED = "starred"
"""Name and id of the list that stars go into: the same in every store, so that they merge."""
MOST_ITEMS = 2_000
MOST_LISTS = 1_000
_STARRED_TITLE = "Starred"
_LONGEST_TITLE = 200


class FeatureLists:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: as of `Store`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[ListView]:
        """Every list, those that were put away last, else by title."""
        query = select(StoredList.__table__).order_by(
            StoredList.withdrawn, StoredList.title, StoredList.name
        )
        with reading(self._engine) as connection:
            return _views(connection, connection.execute(query).mappings().all())

    def around(
        self, dictionary: DictionaryView, index: int
    ) -> tuple[list[ListView], list[ListView]]:
        """The lists that a feature is in, and the others, by title, in one query: their sizes are
        not counted."""
        here = StoredListItem.index == index if 0 <= index < dictionary.d_sae else false()
        item = (
            (StoredListItem.list_id == StoredList.id)
            & (StoredListItem.subject == subject(dictionary))
            & here
            & (StoredListItem.withdrawn == 0)
        )
        query = (
            select(StoredList.__table__, StoredListItem.place.label("inside"))
            .outerjoin(StoredListItem, item)
            .where(StoredList.withdrawn == 0)
            .order_by(StoredList.title, StoredList.name)
        )
        inside: list[ListView] = []
        others: list[ListView] = []
        with reading(self._engine) as connection:
            for row in connection.execute(query).mappings():
                (others if row["inside"] is None else inside).append(_list(row, 0))
        return inside, others

    def contents(self, name: str) -> tuple[ListView, list[ListItem]]:
        """A list and the features in it, in its order. The list of stars is always there.

        Raises:
            NotFound: there is none of that name.
        """
        with reading(self._engine) as connection:
            if name == STARRED and not connection.scalar(
                select(StoredList.id).filter_by(name=name)
            ):
                return ListView(STARRED, _STARRED_TITLE, "", 0.0, withdrawn=False, size=0), []
            row = _row(connection, name)
            return _view(connection, row), _items(connection, row["id"])

    def create(
        self,
        title: str,
        note: str = "",
        dictionary: DictionaryView | None = None,
        features: Sequence[int] = (),
    ) -> ListView:
        """A new list; its name follows from its title.

        Args:
            title: any text of one line.
            note: what it is for.
            dictionary: of the features; None: the list is empty.
            features: that are in it from the start, in this order; each once.

        Raises:
            InvalidRequest: a text is empty or too long, there are too many lists, or no features,
                or too many.
            NotFound: the dictionary has no such feature.
        """
        title = checked_line(title, "a title", _LONGEST_TITLE, empty=False)
        note = checked(note, "a note", LONGEST_NOTE)
        wanted = tuple(dict.fromkeys(features))
        if dictionary is not None:
            _check_features(dictionary, wanted)
        with writing(self._engine, alone=True) as connection:
            names = set(connection.scalars(select(StoredList.name)))
            if len(names) >= MOST_LISTS:
                raise InvalidRequest(f"There are {MOST_LISTS:,} lists, as many as are kept.")
            row = _create(connection, free_name(title, names | {STARRED}, "list"), title, note)
            if dictionary is not None:
                _fill(connection, row, dictionary, wanted)
            return _view(connection, row)

    def describe(self, name: str, title: str, note: str) -> ListView:
        """Another title and note; the address stays.

        Raises:
            InvalidRequest: a text is empty or too long.
            NotFound: there is no such list.
        """
        title = checked_line(title, "a title", _LONGEST_TITLE, empty=False)
        note = checked(note, "a note", LONGEST_NOTE)
        return self._set(name, title=title, note=note)

    def put_away(self, name: str, withdrawn: bool = True) -> ListView:
        """Put a list away, or take it up again; nothing in it is lost.

        Raises:
            NotFound: there is no such list.
        """
        return self._set(name, withdrawn=int(withdrawn))

    def put(
        self, name: str, dictionary: DictionaryView, index: int, note: str | None = None
    ) -> ListView:
        """Put a feature at the end of a list, or, where it is in it, give it another note.

        The list of stars is made where there is none.

        Raises:
            InvalidRequest: the note is too long, or the list is full.
            NotFound: there is no such list or feature.
        """
        kept = None if note is None else checked(note, "a note", LONGEST_NOTE)
        check_feature(dictionary, index)
        with writing(self._engine, alone=True) as connection:
            row = _row(connection, name)
            here = {"list_id": row["id"], "subject": subject(dictionary), "index": index}
            query = select(StoredListItem.__table__).filter_by(**here)
            old = connection.execute(query).mappings().first()
            values: dict[str, Any] = {"changed": now(), "withdrawn": 0}
            if kept is not None:
                values["note"] = kept
            if old is None or old["withdrawn"]:
                of_list = StoredListItem.list_id == row["id"]
                place, count = connection.execute(
                    select(func.max(StoredListItem.place), func.count()).where(of_list)
                ).one()
                if count >= MOST_ITEMS:
                    raise InvalidRequest(
                        f"The list holds {MOST_ITEMS:,} features, as many as are kept."
                    )
                values["place"] = 0 if place is None else place + 1
            if old is None:
                names = {"model": dictionary.model, "dictionary": dictionary.name}
                connection.execute(
                    insert(StoredListItem).values({**here, "note": "", **names, **values})
                )
            else:
                _update(connection, here, values)
            return _view(connection, row)

    def take_out(self, name: str, key: str, index: int) -> ListView:
        """Take a feature out of a list; `key`: the subject of its dictionary.

        Raises:
            NotFound: there is no such list, or it has no such feature.
        """
        with writing(self._engine, alone=True) as connection:
            row = _row(connection, name)
            here = _held(connection, row["id"], key, index)
            _update(connection, here, {"withdrawn": 1, "changed": now()})
            return _view(connection, row)

    def annotate(self, name: str, key: str, index: int, note: str) -> None:
        """Say why a feature is in a list, its dictionary in the store or not.

        Raises:
            InvalidRequest: the note is too long.
            NotFound: there is no such list, or it has no such feature.
        """
        note = checked(note, "a note", LONGEST_NOTE)
        with writing(self._engine, alone=True) as connection:
            here = _held(connection, _row(connection, name)["id"], key, index)
            _update(connection, here, {"note": note, "changed": now()})

    def move(self, name: str, key: str, index: int, place: int) -> None:
        """Put a feature at another place of its list, from 0; too far is the end.

        Raises:
            NotFound: there is no such list, or it has no such feature.
        """
        with writing(self._engine, alone=True) as connection:
            row = _row(connection, name)
            here = _held(connection, row["id"], key, index)
            order = [
                (item.subject, item.index)
                for item in _rows(connection, row["id"])
                if (item.subject, item.index) != (key, index)
            ]
            order.insert(max(0, place), (here["subject"], here["index"]))
            for at, (of, number) in enumerate(order):
                _update(
                    connection,
                    {"list_id": row["id"], "subject": of, "index": number},
                    {"place": at},
                )

    def _set(self, name: str, **values: Any) -> ListView:
        with writing(self._engine, alone=True) as connection:
            row = _row(connection, name)
            connection.execute(
                update(StoredList).where(StoredList.id == row["id"]).values(changed=now(), **values)
            )
            return _view(connection, _row(connection, name))


def _check_features(dictionary: DictionaryView, features: Sequence[int]) -> None:
    if not features:
        raise InvalidRequest("No feature was chosen: a list of them would be empty.", "features")
    if len(features) > MOST_ITEMS:
        raise InvalidRequest(
            f"A list holds {MOST_ITEMS:,} features at the most; {len(features):,} were chosen.",
            "features",
        )
    for index in (min(features), max(features)):
        check_feature(dictionary, index)


def _fill(
    connection: Connection, row: RowMapping, dictionary: DictionaryView, features: Sequence[int]
) -> None:
    """Put features into a list that is empty."""
    shared = {
        "list_id": row["id"],
        "subject": subject(dictionary),
        "note": "",
        "model": dictionary.model,
        "dictionary": dictionary.name,
        "changed": row["changed"],
        "withdrawn": 0,
    }
    items = [{**shared, "index": index, "place": place} for place, index in enumerate(features)]
    connection.execute(insert(StoredListItem), items)


def _create(connection: Connection, name: str, title: str, note: str) -> RowMapping:
    key, written = STARRED if name == STARRED else new_id(), now()
    connection.execute(
        insert(StoredList).values(
            id=key, name=name, title=title, note=note, created=written, changed=written, withdrawn=0
        )
    )
    return _row(connection, name)


def _row(connection: Connection, name: str) -> RowMapping:
    query = select(StoredList.__table__).where(StoredList.name == name)
    row = connection.execute(query).mappings().first()
    if row is not None:
        return row
    if name == STARRED and connection.get_execution_options().get("writes"):
        return _create(connection, STARRED, _STARRED_TITLE, "")
    raise NotFound(f"There is no list {name!r:.80}. /lists names all that there are.")


def _held(connection: Connection, list_id: str, key: str, index: int) -> dict[str, Any]:
    here = {"list_id": list_id, "subject": key, "index": index}
    if fits(index):
        query = select(StoredListItem.place).filter_by(**here, withdrawn=0)
        if connection.execute(query).first() is not None:
            return here
    raise NotFound(f"The list has no such feature {index}.")


def _update(connection: Connection, here: dict[str, Any], values: dict[str, Any]) -> None:
    connection.execute(update(StoredListItem).filter_by(**here).values(values))


def _rows(connection: Connection, list_id: str) -> Sequence[Any]:
    query = (
        select(StoredListItem.__table__)
        .where(StoredListItem.list_id == list_id, StoredListItem.withdrawn == 0)
        .order_by(StoredListItem.place, StoredListItem.subject, StoredListItem.index)
    )
    return connection.execute(query).all()


def _items(connection: Connection, list_id: str) -> list[ListItem]:
    rows = _rows(connection, list_id)
    known = subjects(connection)
    texts = {
        of: best_texts(connection, of, [row.index for row in rows if row.subject == of])
        for of in {row.subject for row in rows}
    }
    items = []
    for row in rows:
        names = [(model, name) for _, model, name in known.get(row.subject, [])]
        kept = (row.model, row.dictionary)
        model, dictionary = kept if kept in names or not names else names[0]
        items.append(
            ListItem(
                subject=row.subject,
                index=row.index,
                model=model,
                dictionary=dictionary,
                there=bool(names),
                label=texts[row.subject].get(row.index, ""),
                note=row.note,
            )
        )
    return items


def _view(connection: Connection, row: RowMapping) -> ListView:
    return _views(connection, [row])[0]


def _views(connection: Connection, rows: Sequence[RowMapping]) -> list[ListView]:
    """Lists with their sizes, which one query counts."""
    counted = (
        select(StoredListItem.list_id, func.count())
        .where(
            StoredListItem.list_id.in_([row["id"] for row in rows]), StoredListItem.withdrawn == 0
        )
        .group_by(StoredListItem.list_id)
    )
    sizes = dict(iter(connection.execute(counted)))
    return [_list(row, sizes.get(row["id"], 0)) for row in rows]


def _list(row: RowMapping, size: int) -> ListView:
    return ListView(
        name=row["name"],
        title=row["title"],
        note=row["note"],
        changed=row["changed"],
        withdrawn=bool(row["withdrawn"]),
        size=size,
    )
