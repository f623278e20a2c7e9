"""Attribution graphs, and groups of their nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "graph",
        *(
            sa.Column(name, TEXT, nullable=False)
            for name in (
                *("id", "name", "model", "model_checksum", "question", "source", "title"),
                *("note", "details", "pinned"),
            )
        ),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_graph")),
        sa.UniqueConstraint("name", name=op.f("uq_graph_name")),
    )
    for column in ("model", "question"):
        op.create_index(f"ix_graph_{column}", "graph", [column])
    op.create_table(
        "graph_group",
        *(sa.Column(name, TEXT, nullable=False) for name in ("id", "graph_id", "title", "nodes")),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["graph_id"],
            ["graph.id"],
            name=op.f("fk_graph_group_graph_id_graph"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_graph_group")),
    )
    op.create_index("ix_graph_group_graph_id", "graph_group", ["graph_id"])


def downgrade() -> None:
    for table in ("graph_group", "graph"):
        op.drop_table(table)
