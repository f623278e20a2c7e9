"""Harvested text with what fires on each token."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.create_table(
        "kept_text",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["harvest.dictionary_id"],
            name=op.f("fk_kept_text_dictionary_id_harvest"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", name=op.f("pk_kept_text")),
    )
    op.create_table(
        "firing_block",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("firings", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["kept_text.dictionary_id"],
            name=op.f("fk_firing_block_dictionary_id_kept_text"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", "block", name=op.f("pk_firing_block")),
    )


def downgrade() -> None:
    op.drop_table("firing_block")
    op.drop_table("kept_text")
