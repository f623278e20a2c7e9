"""The command that evaluates a dictionary, as its pages and its JSON name it."""

from __future__ import annotations

import shlex

from app.store.types.catalogue import DictionaryView
from app.store.types.evaluation import StoredEvaluation
from sae_core.text.corpus import STDLIB

_TEXT = "TEXT"  # stands for a path that the store does not know


def evaluation_command(dictionary: DictionaryView, evaluation: StoredEvaluation | None) -> str:
    """What computes the evaluation again, on the same text where that is known, and keeps it."""
    words = ["featurescope", "evaluate", dictionary.title]
    measured = evaluation.measured if evaluation else None
    if measured:
        words += ["--tokens", str(measured.tokens), "--seed", str(measured.seed)]
    elif dictionary.corpus and dictionary.corpus.name != STDLIB:
        words += ["--corpus", _TEXT]
    return shlex.join([*words, "--save"])
