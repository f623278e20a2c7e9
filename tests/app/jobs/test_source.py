"""On which documents a dictionary is evaluated."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.jobs.source import TRAINING_RECORD, Source, SourceSpec
from sae_core.text.corpus import STDLIB

ENOUGH = 65_536


def source(folder: Path, documents: int, tokens: int, others: int = 100) -> Source:
    """A source of which so many documents are held out, with so many tokens in all."""
    lengths = np.full(documents + others, 500, dtype=np.int64)
    lengths[:documents] = tokens // max(1, documents)
    corpus: Any = SimpleNamespace(lengths=lengths, held_out=np.arange(len(lengths)) < documents)
    nothing: Any = None
    spec = SourceSpec(model=str(folder), dictionary=folder, corpus=STDLIB)
    return Source(spec, nothing, nothing, "", corpus, nothing, None)


@pytest.mark.parametrize(
    ("documents", "tokens", "asked", "kept"),
    [
        (40, 40_000, ENOUGH, True),
        (40, 10_000, ENOUGH, False),  # too little text
        (20, 200_000, ENOUGH, False),  # too few documents
        (30, 20_010, ENOUGH, True),
        (40, 6_000, 5_000, True),  # as much as was asked for
        (0, 0, ENOUGH, False),
    ],
)
def test_held_out_text_is_kept_to_where_it_is_enough(
    tmp_path: Path, documents: int, tokens: int, asked: int, kept: bool
) -> None:
    assert source(tmp_path, documents, tokens).held_out(asked) is kept


@pytest.mark.parametrize("documents", [1, 40])
def test_what_our_training_saw_is_never_evaluated_on(tmp_path: Path, documents: int) -> None:
    (tmp_path / TRAINING_RECORD).write_text("{}")
    assert source(tmp_path, documents, 500).held_out(ENOUGH)


def test_without_held_out_documents_all_are_used(tmp_path: Path) -> None:
    (tmp_path / TRAINING_RECORD).write_text("{}")
    assert not source(tmp_path, 0, 0).held_out(ENOUGH)
