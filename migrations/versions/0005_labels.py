"""Labels with votes and history, comments, and lists of features.

What stood in the column `feature.label` becomes a label by nobody, at no known time.
"""

from __future__ import annotations

import hashlib
import re
import uuid

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_HALF = re.compile("\ufdd0d[89a-f][0-9a-f]{2}")
_CONTROL = re.compile("\ufdd000(?!09|0a|0d)[01][0-9a-f]")


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, TEXT, nullable=False) for name in names]


def _whole(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _times(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Double(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "label",
        *_text("id", "subject"),
        *_whole("index"),
        *_text("kind", "text", "note", "author"),
        *_times("created", "changed"),
        *_whole("version", "withdrawn"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
    )
    op.create_index("ix_label_subject", "label", ["subject", "index"])
    op.create_table(
        "label_version",
        *_text("id", "label_id"),
        *_whole("number"),
        *_text("text", "note", "author"),
        *_times("changed"),
        *_whole("withdrawn"),
        sa.ForeignKeyConstraint(
            ["label_id"],
            ["label.id"],
            name=op.f("fk_label_version_label_id_label"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_version")),
    )
    op.create_index("ix_label_version_label_id", "label_version", ["label_id", "number"])
    op.create_table(
        "label_vote",
        *_text("label_id", "voter"),
        *_whole("value"),
        *_times("changed"),
        sa.ForeignKeyConstraint(
            ["label_id"],
            ["label.id"],
            name=op.f("fk_label_vote_label_id_label"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("label_id", "voter", name=op.f("pk_label_vote")),
    )
    op.create_table(
        "comment",
        *_text("id", "subject"),
        *_whole("index"),
        *_text("context", "quote", "text", "author"),
        *_times("created", "changed"),
        *_whole("withdrawn"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comment")),
    )
    op.create_index("ix_comment_subject", "comment", ["subject", "index"])
    op.create_table(
        "feature_list",
        *_text("id", "name", "title", "note"),
        *_times("created", "changed"),
        *_whole("withdrawn"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature_list")),
        sa.UniqueConstraint("name", name=op.f("uq_feature_list_name")),
    )
    op.create_table(
        "feature_list_item",
        *_text("list_id", "subject"),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        *_whole("place"),
        *_text("note", "model", "dictionary"),
        *_times("changed"),
        *_whole("withdrawn"),
        sa.ForeignKeyConstraint(
            ["list_id"],
            ["feature_list.id"],
            name=op.f("fk_feature_list_item_list_id_feature_list"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("list_id", "subject", "index", name=op.f("pk_feature_list_item")),
    )
    _keep_labels(op.get_bind())


def _keep_labels(connection: sa.Connection) -> None:
    """Each text that a feature is labelled with becomes a label and its first version."""
    rows = connection.execute(
        sa.text(
            'SELECT d.checksum, m.checksum, d.path, f."index", f.label FROM feature f '
            "JOIN dictionary d ON d.id = f.dictionary_id JOIN model m ON m.id = d.model_id "
            "WHERE f.label <> ''"
        )
    ).all()
    labels, versions = {}, []
    for checksum, model, path, index, stored in rows:
        subject = checksum
        if path is None:
            subject = hashlib.sha256(f"{model} {checksum}".encode()).hexdigest()
        text = _CONTROL.sub("\ufffd", _HALF.sub("\ufffd", stored))
        key = uuid.uuid5(uuid.NAMESPACE_URL, f"{subject} {index} {text}").hex
        if key in labels:
            continue
        shared = {"text": text, "note": "", "author": "", "changed": 0.0, "withdrawn": 0}
        labels[key] = shared | {
            "id": key,
            "subject": subject,
            "index": index,
            "kind": "import",
            "created": 0.0,
            "version": 1,
        }
        versions.append(shared | {"id": key, "label_id": key, "number": 1})
    for name, values in (("label", list(labels.values())), ("label_version", versions)):
        if values:
            table = sa.table(name, *(sa.column(key) for key in values[0]))
            connection.execute(sa.insert(table), values)


def downgrade() -> None:
    for name in (
        "feature_list_item",
        "feature_list",
        "comment",
        "label_vote",
        "label_version",
        "label",
    ):
        op.drop_table(name)
