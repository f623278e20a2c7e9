"""Trainings with their curves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
RUN = {"ondelete": "CASCADE"}


def upgrade() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("sweep", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("hook_point", TEXT, nullable=False),
        sa.Column("config", TEXT, nullable=False),
        sa.Column("settings", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("folder", TEXT),
        sa.Column("checksum", TEXT),
        sa.Column("evaluation", TEXT),
        sa.Column("cost", TEXT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("name", name=op.f("uq_run_name")),
    )
    op.create_table(
        "run_point",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("loss", sa.Double()),
        sa.Column("l0", sa.Double()),
        sa.Column("fvu", sa.Double()),
        sa.Column("dead_share", sa.Double()),
        sa.Column("penalty", sa.Double()),
        sa.ForeignKeyConstraint(
            ["run_id"], ["run.id"], name=op.f("fk_run_point_run_id_run"), **RUN
        ),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_run_point")),
    )
    op.create_table(
        "run_pace",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tokens_per_second", sa.Double(), nullable=False),
        sa.Column("reported", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_pace_run_id_run"), **RUN),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_run_pace")),
    )


def downgrade() -> None:
    for table in ("run_pace", "run_point", "run"):
        op.drop_table(table)
