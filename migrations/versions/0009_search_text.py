"""The words of labels, notes and rules, to be searched."""

from __future__ import annotations

import hashlib
import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: None = None
depends_on: None = None

_SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_PARTS = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*|\S")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TABLE search_text (dictionary_id BIGINT NOT NULL "
            "CONSTRAINT fk_search_text_dictionary_id_harvest REFERENCES harvest (dictionary_id) "
            'ON DELETE CASCADE, kind BIGINT NOT NULL, "index" BIGINT NOT NULL, '
            "words TSVECTOR NOT NULL, "
            'CONSTRAINT pk_search_text PRIMARY KEY (dictionary_id, kind, "index"))'
        )
        op.execute("CREATE INDEX ix_search_text_words ON search_text USING gin (words)")
    else:
        # Words come cut, with blanks between them: all other characters belong to words.
        signs = _SIGNS.replace("'", "''").replace("'", "''")
        op.get_bind().exec_driver_sql(
            "CREATE VIRTUAL TABLE search_text USING fts5("
            f"words, tokenize='ascii tokenchars ''{signs}''', prefix='2 3')"
        )
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """The words of what is there, cut as this revision's version does."""
    rules = connection.execute(
        sa.text("SELECT dictionary_id, \"index\", sentence FROM rule WHERE predicate <> ''")
    )
    labels = connection.execute(
        sa.text(
            'SELECT d.id, l."index", l.text, l.note, l.subject, d.checksum, m.checksum, d.path '
            'FROM label l JOIN feature f ON f."index" = l."index" '
            "JOIN dictionary d ON d.id = f.dictionary_id JOIN model m ON m.id = d.model_id "
            "WHERE l.withdrawn = 0 ORDER BY l.changed DESC, l.id"
        )
    )
    documents: dict[tuple[int, int, int], str] = {}
    for dictionary, index, sentence in rules:
        documents[1, dictionary, index] = sentence
    for dictionary, index, label, note, subject, checksum, model, path in labels:
        if subject == _subject(checksum, model, path):
            there = documents.get((0, dictionary, index), "")
            documents[0, dictionary, index] = f"{there}\n{label}\n{note}"
    for (kind, dictionary, index), document in documents.items():
        if not (words := _words(document)):
            continue
        if connection.dialect.name == "postgresql":
            quoted = (w.replace("\\", "\\\\").replace("'", "''") for w in words)
            connection.execute(
                sa.text("INSERT INTO search_text VALUES (:of, :kind, :at, CAST(:w AS tsvector))"),
                {
                    "kind": kind,
                    "of": dictionary,
                    "at": index,
                    "w": " ".join(f"'{word}':{n}" for n, word in enumerate(quoted, 1)),
                },
            )
        else:
            connection.execute(
                sa.text("INSERT INTO search_text (rowid, words) VALUES (:at, :w)"),
                {"at": (kind << 56) + (dictionary << 36) + index, "w": " ".join(words)},
            )


def _subject(checksum: str, model: str, path: str | None) -> str:
    if path is not None:
        return checksum
    return hashlib.sha256(f"{model} {checksum}".encode()).hexdigest()


def _words(document: str) -> list[str]:
    words, size = [], 0
    for part in _PARTS.findall(document):
        folded = "".join(unicodedata.normalize("NFKC", part).casefold().split())[:100]
        size += len(folded.encode()) + 8
        if folded.isprintable() and folded and size <= 400_000 and len(words) < 12_000:
            words.append(folded)
    return words


def downgrade() -> None:
    op.drop_table("search_text")
