"""Maps: where the features of a dictionary lie in two dimensions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "map",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("checksum", "digest", "parameters")),
        sa.Column("places", sa.LargeBinary(), nullable=False),
        sa.Column("heads", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["dictionary.id"],
            name=op.f("fk_map_dictionary_id_dictionary"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", name=op.f("pk_map")),
    )


def downgrade() -> None:
    op.drop_table("map")
