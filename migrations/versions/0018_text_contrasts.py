"""Contrasts of two sets of texts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "text_contrast",
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in (
                *("id", "name", "model", "dictionary", "checksum"),
                *("question", "title", "details"),
            )
        ),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text_contrast")),
        sa.UniqueConstraint("name", name=op.f("uq_text_contrast_name")),
    )
    op.create_index("ix_text_contrast_question", "text_contrast", ["question"])


def downgrade() -> None:
    op.drop_table("text_contrast")
