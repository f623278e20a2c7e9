"""The density of a feature with an interval over documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    op.add_column("feature", sa.Column("density_low", sa.Double(), nullable=True))
    op.add_column("feature", sa.Column("density_high", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("feature", "density_high")
    op.drop_column("feature", "density_low")
