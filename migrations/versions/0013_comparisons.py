"""Comparisons of dictionaries, and in how many others each feature was found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "comparison",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("name", "identity", "settings")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparison")),
        sa.UniqueConstraint("name", name=op.f("uq_comparison_name")),
    )
    op.create_table(
        "compared_dictionary",
        sa.Column("comparison_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in ("subject", "model", "dictionary", "digest")
        ),
        sa.Column("d_sae", sa.BigInteger(), nullable=False),
        sa.Column("details", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparison.id"],
            name=op.f("fk_compared_dictionary_comparison_id_comparison"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison_id", "place", name=op.f("pk_compared_dictionary")),
    )
    op.create_index("ix_compared_dictionary_subject", "compared_dictionary", ["subject"])
    op.create_table(
        "feature_match",
        *(
            sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)
            for name in ("comparison_id", "source", "target")
        ),
        sa.Column("figures", TEXT, nullable=False),
        sa.Column("matches", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparison.id"],
            name=op.f("fk_feature_match_comparison_id_comparison"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison_id", "source", "target", name=op.f("pk_feature_match")),
    )
    op.create_table(
        "recurrence",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("by_found", "by_found_up", "found", "trainings")
        ),
        sa.ForeignKeyConstraint(
            ["dictionary_id", "index"],
            ["feature.dictionary_id", "feature.index"],
            name=op.f("fk_recurrence_dictionary_id_index_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", "index", name=op.f("pk_recurrence")),
    )
    for column in ("by_found", "by_found_up", "found"):
        op.create_index(f"ix_recurrence_{column}", "recurrence", ["dictionary_id", column])


def downgrade() -> None:
    for table in ("recurrence", "feature_match", "compared_dictionary", "comparison"):
        op.drop_table(table)
