"""Labels that language models were asked for, and their scores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "explanation",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in ("explainer", "model", "text", "failure", "settings")
        ),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_explanation")),
    )
    op.create_index("ix_explanation_subject", "explanation", ["subject", "index"])
    op.create_table(
        "label_score",
        sa.Column("explanation_id", TEXT, nullable=False),
        sa.Column("scorer", TEXT, nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("value", "low", "high")),
        sa.Column("n", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("shuffled", "null_p")),
        sa.Column("details", TEXT, nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["explanation_id"],
            ["explanation.id"],
            name=op.f("fk_label_score_explanation_id_explanation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("explanation_id", "scorer", name=op.f("pk_label_score")),
    )


def downgrade() -> None:
    op.drop_table("label_score")
    op.drop_table("explanation")
