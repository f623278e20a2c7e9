"""The files of a Neuronpedia or SAEDashboard export: found, opened, read one object at a time."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from sae_core.files.unpacking import most_unpacked

LARGEST_FILE = 2_000_000_000  # bytes of one file, unpacked
LONGEST_LINE = 64_000_000
_CHUNK = 1 << 20
_BATCH = re.compile(r"batch-(\d+)\.json(l)?(\.gz)?")


@dataclass(frozen=True)
class ExportFiles:
    """What belongs to one export.

    Attributes:
        batches: SAEDashboard's `batch-N.json`, features with their contexts.
        features: Neuronpedia's `features/batch-N.jsonl`, a feature a line.
        activations: its `activations/batch-N.jsonl`, a context a line.
        explanations: its `explanations/batch-N.jsonl`, a label a line.
        facts: `run_settings.json` and `source.jsonl`, where they are.
    """

    batches: tuple[Path, ...]
    features: tuple[Path, ...]
    activations: tuple[Path, ...]
    explanations: tuple[Path, ...]
    facts: tuple[Path, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file, in a fixed order."""
        return (
            *self.batches,
            *self.features,
            *self.activations,
            *self.explanations,
            *self.facts,
        )

    def checksum(self) -> str:
        """SHA-256 over names and contents.

        Raises:
            InvalidRequest: a file cannot be read.
        """
        digest = hashlib.sha256()
        for path in self.all:
            digest.update(f"{path.parent.name}/{path.name}\0".encode())
            try:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise InvalidRequest(
                    f"{path} cannot be read ({error.strerror or error}): check it."
                ) from error
        return digest.hexdigest()


def find_export(path: Path) -> ExportFiles | None:
    """The export at a path: a folder of one, or a single batch; None: there is none.

    Raises:
        InvalidRequest: there is nothing at that path.
    """
    if not path.exists():
        raise InvalidRequest(f"There is nothing at {path}: check the path.")
    if path.is_file():
        single = (path,) if path.name.endswith((".json", ".json.gz")) else ()
        return ExportFiles(single, (), (), (), ()) if single else None
    export = ExportFiles(
        batches=_numbered(path, lines=False),
        features=_numbered(path / "features", lines=True),
        activations=_numbered(path / "activations", lines=True),
        explanations=_numbered(path / "explanations", lines=True),
        facts=tuple(
            path / name for name in ("run_settings.json", "source.jsonl") if (path / name).is_file()
        ),
    )
    return export if export.batches or export.features else None


def _numbered(folder: Path, lines: bool) -> tuple[Path, ...]:
    """Its batches by number."""
    if not folder.is_dir():
        return ()
    matches = [(_BATCH.fullmatch(path.name), path) for path in folder.iterdir()]
    batches = [(int(m[1]), path) for m, path in matches if m and bool(m[2]) == lines]
    return tuple(path for _, path in sorted(batches))


def read_object(path: Path) -> dict[str, Any]:
    """The one JSON object in a file, packed or not.

    Raises:
        InvalidRequest: it is damaged, too large, or no object.
    """
    return _parsed(path, b"".join(_chunks(path)), "")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects in a file of lines, one after the other.

    Raises:
        InvalidRequest: it is damaged, or a line is too long or no object.
    """
    rest, number = b"", 0
    for chunk in _chunks(path):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            if line.strip():
                yield _parsed(path, line, f", line {number:,}")
        if len(rest) > LONGEST_LINE:
            raise InvalidRequest(
                f"{path} has a line of more than {LONGEST_LINE:,} bytes: is it in lines of JSON?"
            )
    if rest.strip():
        yield _parsed(path, rest, ", last line")


def _chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, unpacked, as far as `LARGEST_FILE` and what its own size makes likely."""
    size = 0
    try:
        most = min(LARGEST_FILE, most_unpacked(path.stat().st_size))
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise InvalidRequest(
                        f"{path} unpacks to more than {most:,} bytes, the most that is taken of a "
                        "file of its size: split it, or unpack it first."
                    )
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidRequest(
            f"{path} is damaged or incomplete ({error}): fetch it again."
        ) from error


def _parsed(path: Path, data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidRequest(f"{path}{where} is no JSON: {reason[:200]}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path}{where} holds no JSON object: is this another format?")
    return value
