"""What features fire on, by token, and where their effects land."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "landing",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("by_effect", sa.BigInteger(), nullable=False),
        sa.Column("by_effect_up", sa.BigInteger(), nullable=False),
        sa.Column("effect", sa.Double(), nullable=True),
        sa.Column("contexts", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id", "index"],
            ["feature.dictionary_id", "feature.index"],
            name=op.f("fk_landing_dictionary_id_index_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", "index", name=op.f("pk_landing")),
    )
    for place in ("by_effect", "by_effect_up"):
        op.create_index(f"ix_landing_{place}", "landing", ["dictionary_id", place])
    op.create_table(
        "posting",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("token", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["harvest.dictionary_id"],
            name=op.f("fk_posting_dictionary_id_harvest"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", "kind", "token", name=op.f("pk_posting")),
    )


def downgrade() -> None:
    op.drop_table("posting")
    op.drop_table("landing")
