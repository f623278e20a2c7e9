"""A bundle: a whole store in one file, in checked parts, for any database.

It is a ZIP archive. `parts/N.jsonl` hold rows of one table each, in order of the primary key: a
JSON array a line, bytes in base64. `manifest.json` names format, schema, tables and their columns,
and for each part its table, rows, bytes and SHA-256; its `content` is one checksum over all of
these. No time stands in it: the same contents give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from sae_core.files.atomic import atomic_file
from sae_core.files.unpacking import most_unpacked

FORMAT = "featurescope bundle"
VERSION = 1
PART_BYTES = 4 << 20
_LARGEST_PART = 512 << 20
_LARGEST_ID = 1 << 63
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 64 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LEVEL = 1  # most bytes are compressed already


@dataclass(frozen=True)
class Part:
    """Rows of one table.

    Attributes:
        name: of the archive's entry.
        table: that they belong to.
        dictionary: whose harvest they belong to; None: to none.
        rows: how many.
        n_bytes: of all lines.
        sha256: of all lines.
    """

    name: str
    table: str
    dictionary: int | None
    rows: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        schema: revision of the database's schema.
        tables: each table's columns, in order.
        parts: in the order in which they go into a store.
    """

    schema: str
    tables: dict[str, list[str]]
    parts: tuple[Part, ...]

    @property
    def content(self) -> str:
        """One checksum of all contents: the same for the same store on either database."""
        values = [self.schema, sorted(self.tables.items()), [asdict(part) for part in self.parts]]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(part.rows for part in self.parts)


class BundleWriter:
    """Writes parts as they come; made by `writing_bundle`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._parts: list[Part] = []

    def rows(self, table: str, dictionary: int | None, lines: Iterator[str]) -> None:
        """Add a table's lines, or those of one dictionary, in parts of `PART_BYTES`."""
        held: list[bytes] = []
        size = 0
        for line in lines:
            data = line.encode("ascii") + b"\n"
            held.append(data)
            size += len(data)
            if size >= PART_BYTES:
                self._write(table, dictionary, held)
                held, size = [], 0
        if held:
            self._write(table, dictionary, held)

    def _write(self, table: str, dictionary: int | None, lines: list[bytes]) -> None:
        data = b"".join(lines)
        name = f"parts/{len(self._parts):06d}.jsonl"
        digest = hashlib.sha256(data).hexdigest()
        self._parts.append(Part(name, table, dictionary, len(lines), len(data), digest))
        self._add(name, data)

    def finish(self, schema: str, tables: dict[str, list[str]]) -> Manifest:
        """Write the manifest."""
        manifest = Manifest(schema, tables, tuple(self._parts))
        values = {
            "format": FORMAT,
            "version": VERSION,
            "schema": schema,
            "content": manifest.content,
            "tables": tables,
            "parts": [asdict(part) for part in manifest.parts],
        }
        self._add(_MANIFEST, (json.dumps(values, indent=1) + "\n").encode())
        return manifest

    def _add(self, name: str, data: bytes) -> None:
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        self._archive.writestr(entry, data, compresslevel=_LEVEL)


@contextmanager
def writing_bundle(path: Path) -> Iterator[BundleWriter]:
    """A bundle to fill; it appears when the block ends without an error.

    Raises:
        InvalidRequest: there is something at `path`.
        DiskError: it cannot be written.
    """
    if path.exists():
        raise InvalidRequest(f"{path} exists already: name a file that does not.")
    with atomic_file(path) as draft, zipfile.ZipFile(draft, "w") as archive:
        yield BundleWriter(archive)


def is_bundle(path: Path) -> bool:
    """Whether a file looks like a bundle, whole or not."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


class BundleReader:
    """Reads a bundle and believes nothing in it; made by `reading_bundle`.

    Attributes:
        manifest: checked against the archive.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        self.manifest = self._read_manifest()

    def lines(self, part: Part) -> list[str]:
        """The lines of a part, once its checksum has been compared.

        Raises:
            InvalidRequest: it is damaged.
        """
        data = self._read(part.name, part.n_bytes)
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise self._damaged(f"the checksum of {part.name} does not match")
        lines = data.decode("ascii", "strict").splitlines() if data.isascii() else []
        if len(lines) != part.rows:
            raise self._damaged(f"{part.name} does not hold {part.rows:,} rows")
        return lines

    def _damaged(self, why: str) -> InvalidRequest:
        return InvalidRequest(
            f"The bundle {self._path} is damaged or incomplete: {why}. Fetch or export it again; "
            "the store is as it was."
        )

    def _read(self, name: str, size: int) -> bytes:
        try:
            with self._archive.open(name) as entry:
                data = entry.read(size + 1)
        except (
            KeyError,
            OSError,
            EOFError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
        ) as error:
            raise self._damaged(str(error)[:200]) from None
        if len(data) != size:
            raise self._damaged(f"{name} does not hold {size:,} bytes")
        return data

    def _read_manifest(self) -> Manifest:
        size = self._sizes.get(_MANIFEST, -1)
        most = min(_LARGEST_MANIFEST, most_unpacked(self._path.stat().st_size))
        if not 0 <= size <= most:
            raise self._damaged("it has no manifest")
        try:
            values = json.loads(self._read(_MANIFEST, size))
            if values["format"] != FORMAT:
                raise self._damaged("its manifest is of another format")
            if values["version"] != VERSION:
                raise InvalidRequest(
                    f"The bundle {self._path} has version {values['version']!r:.40}; this version "
                    f"of Featurescope reads {VERSION}. Import it with the one that made it."
                )
            tables = {
                str(table): [str(column) for column in columns]
                for table, columns in values["tables"].items()
            }
            parts = tuple(_part(raw) for raw in values["parts"])
            manifest = Manifest(str(values["schema"]), tables, parts)
            content = values["content"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._damaged("its manifest cannot be read") from None
        if manifest.content != content:
            raise self._damaged("the checksum of its contents does not match")
        names = [part.name for part in parts]
        if sorted([*names, _MANIFEST]) != sorted(self._archive.namelist()):
            raise self._damaged("its parts are not those that its manifest names")
        if any(self._sizes[part.name] != part.n_bytes for part in parts):
            raise self._damaged("its parts are not as large as its manifest says")
        if sum(self._sizes.values()) > most_unpacked(self._path.stat().st_size):
            raise self._damaged("it would unpack to far more than a store of its size")
        return manifest


def _part(raw: dict[str, Any]) -> Part:
    """A part of a manifest; what is not of its type is a `ValueError`."""
    part = Part(**raw)
    numbers = (part.rows, part.n_bytes)
    if (
        not all(type(text) is str for text in (part.name, part.table, part.sha256))
        or not all(type(number) is int and number >= 0 for number in numbers)
        or (part.dictionary is not None and type(part.dictionary) is not int)
        or not -_LARGEST_ID < (part.dictionary or 0) < _LARGEST_ID
        or part.n_bytes > _LARGEST_PART
    ):
        raise ValueError(part)
    return part


@contextmanager
def reading_bundle(path: Path) -> Iterator[BundleReader]:
    """A bundle to read.

    Raises:
        InvalidRequest: it is not there, is none, is damaged, or was made by a newer version.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InvalidRequest(
            f"The bundle {path} is damaged or incomplete ({error}). Fetch or export it again; the "
            "store is as it was."
        ) from None
    with archive:
        yield BundleReader(path, archive)
