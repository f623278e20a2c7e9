"""What holds for all that people write into the store: its length, its characters, its times."""

from __future__ import annotations

import time
import uuid

from sqlalchemy import Connection, select

from app.errors import InvalidRequest
from app.store.columns import escape
from app.store.schema import StoredDictionary, StoredModel
from app.store.types.annotations import subject_of
from app.store.types.catalogue import DictionaryView

LONGEST_LABEL = 400  # characters
LONGEST_INDEXED = 2_400  # bytes; an index entry of Postgres holds 2,700
LONGEST_NOTE = 4_000
LONGEST_AUTHOR = 100
_BREAKS = "\n\t\r"


def new_id() -> str:
    """An id that no other store has."""
    return uuid.uuid4().hex


def now() -> float:
    """Seconds since 1970, in thousandths: the same number on both databases and in JSON."""
    return round(time.time(), 3)


def checked(text: str, what: str, longest: int, empty: bool = True) -> str:
    """The text as it is kept, without white space around it.

    Args:
        text: as it was written.
        what: the text's name for sentences, such as `a label`.
        longest: characters it may have.
        empty: whether there may be none.

    Raises:
        InvalidRequest: it is empty where it may not be, too long, or holds characters that stand
            for nothing: halves of pairs, NUL and other control characters.
    """
    text = text.replace("\r\n", "\n").strip()
    title = what[:1].upper() + what[1:]
    if not (text or empty):
        raise InvalidRequest(f"{title} needs at least one character.")
    if len(text) > longest:
        raise InvalidRequest(
            f"{title} has at most {longest:,} characters; this one has {len(text):,}."
        )
    for char in text:
        if (char < " " and char not in _BREAKS) or "\x7f" <= char < "\xa0":
            raise InvalidRequest(
                f"{title} cannot hold the control character U+{ord(char):04X}: leave it out."
            )
        if escape(char) != char:
            raise InvalidRequest(
                f"{title} holds U+{ord(char):04X}, which is half a character or none: leave it out."
            )
    return text


def checked_line(text: str, what: str, longest: int, empty: bool = True) -> str:
    """As `checked`, on one line, and short enough for an index."""
    line = " ".join(checked(text, what, longest, empty).split("\n")).replace("\t", " ")
    if len(escape(line).encode()) > LONGEST_INDEXED:
        raise InvalidRequest(f"{what[:1].upper()}{what[1:]} of such characters has to be shorter.")
    return line.replace("\r", " ")


def checked_author(author: str) -> str:
    """A name that somebody chose; empty: none."""
    return checked_line(author, "a name", LONGEST_AUTHOR)


def subject(dictionary: DictionaryView) -> str:
    """What labels know a dictionary by."""
    return subject_of(dictionary.checksum, dictionary.model_checksum, dictionary.path)


def subjects(connection: Connection) -> dict[str, list[tuple[int, str, str]]]:
    """Of each subject that the store holds: id, model and name of its dictionaries."""
    query = select(
        StoredDictionary.id,
        StoredDictionary.checksum,
        StoredDictionary.path,
        StoredDictionary.name,
        StoredModel.checksum.label("model_checksum"),
        StoredModel.name.label("model"),
    ).join(StoredModel, StoredModel.id == StoredDictionary.model_id)
    there: dict[str, list[tuple[int, str, str]]] = {}
    for row in connection.execute(query.order_by(StoredModel.name, StoredDictionary.name)):
        key = subject_of(row.checksum, row.model_checksum, row.path)
        there.setdefault(key, []).append((row.id, row.model, row.name))
    return there
