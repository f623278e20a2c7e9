"""First schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: None = None
depends_on: None = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "corpus",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("n_documents", sa.BigInteger(), nullable=False),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False),
        sa.Column("details", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corpus")),
        sa.UniqueConstraint("name", "fingerprint", name=op.f("uq_corpus_name_fingerprint")),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("checksum", TEXT, nullable=False),
        sa.Column("dtype", TEXT, nullable=False),
        sa.Column("architecture", TEXT, nullable=False),
        sa.Column("n_layers", sa.BigInteger(), nullable=False),
        sa.Column("d_model", sa.BigInteger(), nullable=False),
        sa.Column("n_ctx", sa.BigInteger(), nullable=False),
        sa.Column("d_vocab", sa.BigInteger(), nullable=False),
        sa.Column("details", TEXT, nullable=False),
        sa.Column("vocabulary_checksum", TEXT, nullable=False),
        sa.Column("vocabulary", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("name", name=op.f("uq_model_name")),
    )
    op.create_table(
        "progress",
        sa.Column("model", TEXT, nullable=False),
        sa.Column("dictionary", TEXT, nullable=False),
        sa.Column("phase", TEXT, nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("reported", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("model", "dictionary", name=op.f("pk_progress")),
    )
    op.create_table(
        "dictionary",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("hook_point", TEXT, nullable=False),
        sa.Column("architecture", TEXT, nullable=False),
        sa.Column("d_in", sa.BigInteger(), nullable=False),
        sa.Column("d_sae", sa.BigInteger(), nullable=False),
        sa.Column("path", TEXT, nullable=True),
        sa.Column("checksum", TEXT, nullable=False),
        sa.Column("dtype", TEXT, nullable=False),
        sa.Column("evaluation", TEXT, nullable=True),
        sa.Column("details", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["model.id"],
            name=op.f("fk_dictionary_model_id_model"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dictionary")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_dictionary_model_id_name")),
    )
    op.create_table(
        "window_set",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("corpus_id", sa.BigInteger(), nullable=False),
        sa.Column("n_ctx", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["corpus_id"],
            ["corpus.id"],
            name=op.f("fk_window_set_corpus_id_corpus"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["model.id"],
            name=op.f("fk_window_set_model_id_model"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_window_set")),
        sa.UniqueConstraint(
            "model_id", "corpus_id", "n_ctx", name=op.f("uq_window_set_model_id_corpus_id_n_ctx")
        ),
    )
    op.create_table(
        "harvest",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("set_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("n_tokens", sa.BigInteger(), nullable=False),
        sa.Column("n_windows", sa.BigInteger(), nullable=False),
        sa.Column("alive", sa.BigInteger(), nullable=False),
        sa.Column("settings", TEXT, nullable=False),
        sa.Column("windows", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["dictionary.id"],
            name=op.f("fk_harvest_dictionary_id_dictionary"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["set_id"], ["window_set.id"], name=op.f("fk_harvest_set_id_window_set")
        ),
        sa.PrimaryKeyConstraint("dictionary_id", name=op.f("pk_harvest")),
    )
    op.create_table(
        "window",
        sa.Column("set_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("document", TEXT, nullable=False),
        sa.Column("tokens", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["set_id"],
            ["window_set.id"],
            name=op.f("fk_window_set_id_window_set"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("set_id", "number", name=op.f("pk_window")),
    )
    op.create_table(
        "feature",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("by_index", sa.BigInteger(), nullable=False),
        sa.Column("by_density", sa.BigInteger(), nullable=False),
        sa.Column("by_density_up", sa.BigInteger(), nullable=False),
        sa.Column("by_maximum", sa.BigInteger(), nullable=False),
        sa.Column("by_maximum_up", sa.BigInteger(), nullable=False),
        sa.Column("firings", sa.BigInteger(), nullable=False),
        sa.Column("maximum", sa.Double(), nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("summary", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id"],
            ["harvest.dictionary_id"],
            name=op.f("fk_feature_dictionary_id_harvest"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", "index", name=op.f("pk_feature")),
    )
    op.create_index("ix_feature_by_density", "feature", ["dictionary_id", "by_density"])
    op.create_index("ix_feature_by_density_up", "feature", ["dictionary_id", "by_density_up"])
    op.create_index("ix_feature_by_index", "feature", ["dictionary_id", "by_index"])
    op.create_index("ix_feature_by_maximum", "feature", ["dictionary_id", "by_maximum"])
    op.create_index("ix_feature_by_maximum_up", "feature", ["dictionary_id", "by_maximum_up"])
    op.create_index("ix_feature_label", "feature", ["dictionary_id", "label", "index", "firings"])
    op.create_index(
        "ix_feature_label_down",
        "feature",
        ["dictionary_id", sa.literal_column("label DESC"), "index", "firings"],
    )
    op.create_table(
        "effect",
        sa.Column("dictionary_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("window", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("effect", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dictionary_id", "index"],
            ["feature.dictionary_id", "feature.index"],
            name=op.f("fk_effect_dictionary_id_index_feature"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dictionary_id", "index", "window", name=op.f("pk_effect")),
    )


def downgrade() -> None:
    op.drop_table("effect")
    op.drop_index("ix_feature_label_down", "feature")
    op.drop_index("ix_feature_label", "feature")
    op.drop_index("ix_feature_by_maximum_up", "feature")
    op.drop_index("ix_feature_by_maximum", "feature")
    op.drop_index("ix_feature_by_index", "feature")
    op.drop_index("ix_feature_by_density_up", "feature")
    op.drop_index("ix_feature_by_density", "feature")
    op.drop_table("feature")
    op.drop_table("window")
    op.drop_table("harvest")
    op.drop_table("window_set")
    op.drop_table("dictionary")
    op.drop_table("progress")
    op.drop_table("model")
    op.drop_table("corpus")
