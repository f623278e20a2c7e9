"""Labels and scores out of a folder that delphi wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.exchange.delphi.files import EXPLANATIONS, LARGEST, MOST, SCORERS, SCORES, feature_of
from app.store.store import Store
from app.store.types.annotations import NewLabel
from app.store.types.catalogue import DictionaryView
from app.store.types.explanations import Explanation, ScoredLabel, explanation_id
from app.store.written.texts import subject
from sae_core.evaluation.label_scores import balanced_accuracy

MODEL = "delphi"  # whose explanations these are; its folder does not say which model wrote them
LONGEST = 400  # characters of a label


def import_delphi(store: Store, view: DictionaryView, folder: Path) -> int:
    """Take the explanations of a folder into the store, and their labels among the others.

    Returns: how many there are.

    Raises:
        InvalidRequest: as `read_delphi`.
    """
    explanations = read_delphi(folder, view.hook_point, view.d_sae)
    own = subject(view)
    for made in explanations:
        key = explanation_id(own, made.index, made.explainer, made.model, made.settings)
        store.explanations.save(view, replace(made, id=key))
    labels = [NewLabel(e.index, e.text, author=MODEL) for e in explanations if e.text]
    store.labels.take(view, labels)
    return len(explanations)


def read_delphi(folder: Path, hook_point: str, d_sae: int) -> list[Explanation]:
    """The explanations of a dictionary, with scores computed again from what was said.

    delphi names modules as their model does; a folder with several is read where one of them is the
    hook point's name, or else refused.

    Args:
        folder: with `explanations` and perhaps `scores`.
        hook_point: of the dictionary that they belong to.
        d_sae: its features.

    Raises:
        InvalidRequest: a file cannot be read, the folder is of several modules, or names a feature
            that the dictionary does not have.
    """
    paths = _paths(folder / EXPLANATIONS)
    modules = sorted({module for module, _ in paths})
    own = hook_point.replace("/", "--")
    if len(modules) > 1 and own not in modules:
        raise InvalidRequest(
            f"{folder} holds explanations of {len(modules)} modules ({', '.join(modules[:4])} …), "
            f"none of which is {own}: keep those of one module in the folder."
        )
    module = own if own in modules else modules[0]
    explanations = []
    for (of, index), path in sorted(paths.items()):
        if of != module:
            continue
        if index >= d_sae:
            raise InvalidRequest(
                f"{path.name} is of feature {index}, and the dictionary has {d_sae:,}: it is of "
                "another one."
            )
        text = _json(path)
        if not isinstance(text, str):
            raise InvalidRequest(f"{path.name} holds no label: it is a JSON document of one text.")
        label = " ".join(text.split())[:LONGEST]
        explanations.append(
            Explanation(
                id="",
                index=index,
                explainer="import",
                model=MODEL,
                text=label,
                failure="" if label else "The file holds an empty label.",
                settings={"from": "delphi", "module": module},
                scores=tuple(_scores(folder / SCORES, path.name)),
            )
        )
    return explanations


def _paths(folder: Path) -> dict[tuple[str, int], Path]:
    paths = {}
    for path in folder.glob("*_latent*.txt"):
        feature = feature_of(path)
        if feature is not None:
            paths[feature] = path
        if len(paths) > MOST:
            raise InvalidRequest(f"{folder} holds more than {MOST:,} files.")
    return paths


def _scores(folder: Path, name: str) -> Iterator[ScoredLabel]:
    for theirs, ours in SCORERS.items():
        path = folder / theirs / name
        if not path.is_file():
            continue
        rows = _json(path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidRequest(f"{theirs}/{name} is no list of excerpts, as delphi writes it.")
        answered = [row for row in rows if row.get("prediction") is not None]
        score = balanced_accuracy(
            [bool(row.get("activating")) for row in answered],
            [bool(row["prediction"]) for row in answered],
        )
        failed = len(rows) - len(answered)
        yield ScoredLabel(
            scorer=ours,
            value=_number(score.value),
            low=_number(score.low),
            high=_number(score.high),
            n=score.n,
            shuffled=None,
            null_p=None,
            details={
                "chance": 0.5,
                "failures": {"delphi kept no answer.": failed} if failed else {},
                "nulls": [],
                "excerpts": [_excerpt(row) for row in answered],
            },
        )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _excerpt(row: dict[str, Any]) -> dict[str, Any]:
    tokens, activations = row.get("str_tokens"), row.get("activations")
    return {
        "tokens": [str(token) for token in tokens] if isinstance(tokens, list) else [],
        "activations": (
            [float(value) if isinstance(value, (int, float)) else 0.0 for value in activations]
            if isinstance(activations, list)
            else []
        ),
        "firing": bool(row.get("activating")),
        "said": bool(row["prediction"]),
    }


def _json(path: Path) -> Any:
    if path.stat().st_size > LARGEST:
        raise InvalidRequest(f"{path.name} is larger than {LARGEST // 2**20} MB: not read.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise InvalidRequest(
            f"{path.name} cannot be read as JSON: {type(error).__name__}."
        ) from None
