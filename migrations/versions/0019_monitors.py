"""Monitors, and the alarms that they raise."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "monitor",
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in (
                *("id", "name", "model", "dictionary", "checksum"),
                *("question", "title", "details"),
            )
        ),
        sa.Column("raised", sa.BigInteger(), nullable=False),
        sa.Column("unsent", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor")),
        sa.UniqueConstraint("name", name=op.f("uq_monitor_name")),
    )
    op.create_index("ix_monitor_question", "monitor", ["question"])
    op.create_table(
        "monitor_alarm",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "monitor_id", "source", "turn")),
        sa.Column("level", sa.Double(), nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("action", "excerpt", "webhook")),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"],
            ["monitor.id"],
            name=op.f("fk_monitor_alarm_monitor_id_monitor"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_alarm")),
    )
    op.create_index("ix_monitor_alarm_monitor_id", "monitor_alarm", ["monitor_id", "created"])


def downgrade() -> None:
    op.drop_table("monitor_alarm")
    op.drop_table("monitor")
