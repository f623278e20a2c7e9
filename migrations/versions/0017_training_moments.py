"""Features through trainings of models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "training_moments",
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in ("id", "name", "model", "dictionary", "details")
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_moments")),
        sa.UniqueConstraint("name", name=op.f("uq_training_moments_name")),
    )


def downgrade() -> None:
    op.drop_table("training_moments")
