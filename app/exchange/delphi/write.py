"""Explanations of a dictionary, as a folder that delphi's own analysis opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.exchange.delphi.files import EXPLANATIONS, SCORERS, SCORES, file_name
from app.store.types.catalogue import DictionaryView
from app.store.types.explanations import Explanation
from sae_core.files.atomic import atomic_folder


def write_delphi(view: DictionaryView, explanations: list[Explanation], folder: Path) -> int:
    """Write the newest explanation of each feature with its scores; how many there are.

    Raises:
        InvalidRequest: no feature of the dictionary has an explanation, or the folder is there.
    """
    newest = {e.index: e for e in reversed(explanations) if e.text}
    if not newest:
        raise InvalidRequest(
            f"No feature of {view.title} has an explanation yet: `featurescope explain` makes some."
        )
    if folder.exists():
        raise InvalidRequest(f"{folder} is there already: name another folder.")
    with atomic_folder(folder) as made:
        (made / EXPLANATIONS).mkdir()
        for theirs in SCORERS:
            (made / SCORES / theirs).mkdir(parents=True)
        for index, explanation in sorted(newest.items()):
            name = file_name(view.hook_point, index)
            _write(made / EXPLANATIONS / name, explanation.text)
            scores = {score.scorer: score.details for score in explanation.scores}
            for theirs, ours in SCORERS.items():
                if ours in scores:
                    excerpts = [_output(e) for e in scores[ours].get("excerpts", [])]
                    _write(made / SCORES / theirs / name, excerpts)
    return len(newest)


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8", errors="replace")


def _output(excerpt: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of an excerpt, as delphi's `ClassifierOutput`."""
    firing, said = bool(excerpt["firing"]), bool(excerpt["said"])
    return {
        "str_tokens": excerpt["tokens"],
        "activations": excerpt["activations"],
        "distance": 0.0 if firing else -1.0,
        "activating": firing,
        "prediction": said,
        "probability": None,
        "correct": firing is said,
    }
