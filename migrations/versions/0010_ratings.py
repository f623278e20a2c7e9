"""Studies in which features are rated blind, and the ratings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, TEXT, nullable=False) for name in names]


def _whole(*names: str, nullable: bool = False) -> list[sa.Column]:
    return [sa.Column(name, sa.BigInteger(), nullable=nullable) for name in names]


def _times(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Double(), nullable=False) for name in names]


def _of(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column],
        [f"{parent}.id"],
        name=op.f(f"fk_{table}_{column}_{parent}"),
        ondelete="CASCADE",
    )


def upgrade() -> None:
    op.create_table(
        "rating_study",
        *_text("id", "title", "author", "settings", "sources"),
        *_times("created", "changed"),
        *_whole("withdrawn"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rating_study")),
    )
    op.create_table(
        "rating_item",
        *_text("id", "study_id", "subject"),
        *_whole("index"),
        _of("rating_item", "study_id", "rating_study"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rating_item")),
    )
    op.create_index("ix_rating_item_study_id", "rating_item", ["study_id"])
    op.create_table(
        "rating",
        *_text("id", "item_id", "rater", "kind"),
        *_whole("confidence", "activations", "logits", "specificity", nullable=True),
        *_text("interpretation", "failure"),
        *_whole("blind"),
        *_text("settings"),
        *_times("changed"),
        _of("rating", "item_id", "rating_item"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rating")),
    )
    op.create_index("ix_rating_of_item", "rating", ["item_id"])
    op.create_table(
        "rating_unblinding",
        *_text("study_id", "rater"),
        *_times("changed"),
        _of("rating_unblinding", "study_id", "rating_study"),
        sa.PrimaryKeyConstraint("study_id", "rater", name=op.f("pk_rating_unblinding")),
    )


def downgrade() -> None:
    for table in ("rating_unblinding", "rating", "rating_item", "rating_study"):
        op.drop_table(table)
