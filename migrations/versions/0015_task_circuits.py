"""Circuits of tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "task_circuit",
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in (
                *("id", "name", "model", "model_checksum", "question", "title", "details"),
            )
        ),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_circuit")),
        sa.UniqueConstraint("name", name=op.f("uq_task_circuit_name")),
    )
    for column in ("model", "question"):
        op.create_index(f"ix_task_circuit_{column}", "task_circuit", [column])


def downgrade() -> None:
    op.drop_table("task_circuit")
