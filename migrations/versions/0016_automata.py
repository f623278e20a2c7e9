"""Automata of features, and checks of their steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "automata",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["harvest.dictionary_id"],
            name=op.f("fk_automata_dictionary_id_harvest"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", name=op.f("pk_automata")),
    )
    keys = ("dictionary_id", "source", "target")
    op.create_table(
        "step_trial",
        *(sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False) for name in keys),
        sa.Column("content", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["automata.dictionary_id"],
            name=op.f("fk_step_trial_dictionary_id_automata"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(*keys, name=op.f("pk_step_trial")),
    )


def downgrade() -> None:
    for table in ("step_trial", "automata"):
        op.drop_table(table)
