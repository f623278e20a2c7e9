"""Labels as Neuronpedia's explanations, a JSON object a line, in and out.

Fields are those of its table `Explanation`: `modelId`, `layer` (LAYER-SET), `index` (as text),
`description`, `authorId`, `notes`, `typeName`, `explanationModelName`, `createdAt`. Its vectors and
votes are left out.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.exchange.neuronpedia.files import read_lines
from app.store.store import Store
from app.store.types.annotations import LabelKind, LabelView, NewLabel
from app.store.types.catalogue import DictionaryView
from app.store.written.texts import LONGEST_AUTHOR, LONGEST_LABEL, LONGEST_NOTE
from sae_core.files.atomic import atomic_file

_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0]")
_LARGEST_INDEX = 9  # digits


@dataclass(frozen=True)
class TakenLabels:
    """What became of a file of explanations.

    Attributes:
        new: labels that the store did not have.
        known: that it had.
        beyond: of features that the dictionary does not have.
    """

    new: int
    known: int
    beyond: int


def layer_of(dictionary: DictionaryView) -> int:
    """The layer in the name of the hook point; 0 where it names none."""
    number = re.search(r"\d+", dictionary.hook_point)
    return int(number[0]) if number else 0


def explanation_lines(dictionary: DictionaryView, labels: Iterable[LabelView]) -> Iterator[str]:
    """Labels that were not taken back, a line of JSON each."""
    for label in labels:
        if label.withdrawn:
            continue
        line = {
            "id": label.id,
            "modelId": dictionary.model,
            "layer": f"{layer_of(dictionary)}-{dictionary.name}",
            "index": str(label.index),
            "description": label.text,
            "authorId": label.author,
            "notes": label.note,
            "typeName": None,
            "explanationModelName": label.author if label.kind is LabelKind.EXPLAINER else None,
        }
        if label.created > 0:
            moment = datetime.fromtimestamp(label.created, UTC)
            line["createdAt"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        yield json.dumps(line)


def export_explanations(store: Store, dictionary: DictionaryView, path: Path) -> int:
    """Write all labels of a dictionary into a new file, packed where it ends in `.gz`; how many.

    Raises:
        InvalidRequest: there is something at `path`, or the dictionary has no label.
        DiskError: it cannot be written; nothing is left behind.
    """
    if path.exists():
        raise InvalidRequest(f"{path} exists already: name a file that does not.")
    lines = list(explanation_lines(dictionary, store.labels.every(dictionary)))
    if not lines:
        raise InvalidRequest(f"No feature of {dictionary.title} has a label yet.")
    with atomic_file(path) as draft:
        draft.write_bytes(packed(lines, path.suffix == ".gz"))
    return len(lines)


def packed(lines: Iterable[str], small: bool) -> bytes:
    """Lines as a file's bytes; `small`: as gzip, whose header holds no time."""
    data = "\n".join([*lines, ""]).encode()
    return gzip.compress(data, mtime=0) if small else data


def import_explanations(store: Store, dictionary: DictionaryView, path: Path) -> TakenLabels:
    """Take a file of explanations, packed or not; labels that are there already stay as they are.

    Raises:
        InvalidRequest: the file is damaged or holds no explanation, or a feature would have too
            many labels.
    """
    labels = list(read_explanations(path))
    if not labels:
        raise InvalidRequest(
            f"{path} holds no explanation: lines with `index` and `description` are looked for."
        )
    own = [label for label in labels if label.index < dictionary.d_sae]
    new = store.labels.take(dictionary, own)
    return TakenLabels(new, len(own) - new, len(labels) - len(own))


def read_explanations(path: Path) -> Iterator[NewLabel]:
    """The labels in a file; lines that hold none are left out.

    Raises:
        InvalidRequest: it is damaged.
    """
    if not path.is_file():
        raise InvalidRequest(f"There is no file at {path}: check the path.")
    for line in read_lines(path):
        label = _label(line)
        if label is not None:
            yield label


def _label(line: dict[str, Any]) -> NewLabel | None:
    index, text = line.get("index"), _word(line.get("description"))
    if isinstance(index, str) and index.isascii() and index.isdigit():
        index = int(index) if len(index) < _LARGEST_INDEX else -1
    if type(index) is not int or index < 0 or not text:
        return None
    notes = [_word(line.get("notes"))]
    if len(text) > LONGEST_LABEL:  # the whole of it is kept beside what fits
        notes.append(text)
        text = text[:LONGEST_LABEL].strip()
    model, kind = _word(line.get("explanationModelName")), _word(line.get("typeName"))
    author = _word(line.get("authorId")) or model
    if kind or model not in ("", author):
        notes.append(f"Explained by {' with '.join(filter(None, (model, kind)))}.")
    return NewLabel(
        index,
        text,
        "\n".join(filter(None, notes))[:LONGEST_NOTE],
        author[:LONGEST_AUTHOR],
        LabelKind.IMPORT,
        _moment(line.get("createdAt")),
    )


def _word(value: Any) -> str:
    return (
        _UNFIT.sub("\ufffd", value.replace("\r\n", "\n")).strip() if isinstance(value, str) else ""
    )


def _moment(value: Any) -> float:
    """Seconds since 1970; 0.0: none that can be read."""
    try:
        moment = datetime.fromisoformat(value)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), 3)
    except (TypeError, ValueError, OverflowError, OSError):
        return 0.0
