"""Rules: what features' firings were learnt to depend on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "rule",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("by_rule", sa.BigInteger(), nullable=False),
        sa.Column("by_rule_up", sa.BigInteger(), nullable=False),
        sa.Column("f1", sa.Double(), nullable=False),
        sa.Column("above", sa.BigInteger(), nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("sentence", "predicate", "figures")),
        sa.ForeignKeyConstraint(
            ["dictionary_id", "index"],
            ["feature.dictionary_id", "feature.index"],
            name=op.f("fk_rule_dictionary_id_index_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", "index", name=op.f("pk_rule")),
    )
    for column in ("by_rule", "by_rule_up", "above"):
        op.create_index(f"ix_rule_{column}", "rule", ["dictionary_id", column])


def downgrade() -> None:
    op.drop_table("rule")
