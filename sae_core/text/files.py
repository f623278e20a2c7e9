"""Which files are text, how they are compressed, and what reads them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from sae_core.errors import CorpusError
from sae_core.text.document import Document
from sae_core.text.plain import plain_documents
from sae_core.text.rows import arrow_rows, json_rows, parquet_rows, row_documents

TEXT = frozenset({".txt", ".md", ".py"})
JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})
COLUMNS = frozenset({".parquet", ".arrow"})
# A folder's .json files are more often settings than text.
_IN_FOLDERS = (TEXT | JSON_LINES | COLUMNS) - {".json"}


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _zstd(path: Path) -> IO[bytes]:
    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))


_OPENERS: Mapping[str, Callable[[Path], Any]] = MappingProxyType(
    {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile, ".zst": _zstd}
)


def file_documents(name: str, path: Path, column: str) -> Iterator[Document]:
    """The documents of one file; the end of its name says what it holds, plain text by default.

    A plain text is one document, a `.txt` one for each part between lines that begin with
    `<|endoftext|>`; a row of JSON lines, Parquet or Arrow is one.

    Raises:
        CorpusError: the file cannot be read, is damaged, or is no text.
    """
    kind = kind_of(path)
    if kind in COLUMNS:
        if unpacked(path) != path:
            raise CorpusError(
                f"{path} is packed twice over: unpack it first, {kind} files are packed themselves."
            )
        _need_file(path)
        read = parquet_rows if kind == ".parquet" else arrow_rows
        yield from row_documents(name, read(name, path, column), column)
        return
    with _opened(path) as stream:
        if kind in JSON_LINES:
            yield from row_documents(name, json_rows(name, stream), column)
        else:
            yield from plain_documents(name, stream, separated=kind == ".txt")


def kind_of(path: Path) -> str:
    """The ending that says what a file holds, such as `.txt`, without that of its compression."""
    return unpacked(path).suffix.lower()


def unpacked(path: Path) -> Path:
    """The path without the ending of its compression."""
    return path.with_suffix("") if path.suffix.lower() in _OPENERS else path


def files_under(folder: Path) -> list[Path]:
    """All text files under a folder in the order of their paths; of a saved data set, its parts.

    Raises:
        CorpusError: there is none, or the data set has several splits.
    """
    if (splits := folder / "dataset_dict.json").is_file():
        names = json.loads(splits.read_text()).get("splits", [])
        raise CorpusError(
            f"{folder} holds the splits {', '.join(names)}: give the folder of one, such as "
            f"{folder / (names[0] if names else 'train')}."
        )
    if (state := folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        saved = json.loads(state.read_text()).get("_data_files", [])
        return [folder / file["filename"] for file in saved]
    paths = [p for p in folder.rglob("*") if kind_of(p) in _IN_FOLDERS and p.is_file()]
    if not paths:
        raise CorpusError(
            f"{folder} holds no text: there is no .txt, .md, .py, .jsonl, .parquet or .arrow file."
        )
    return sorted(paths)


def _need_file(path: Path) -> None:
    if not path.is_file():
        raise CorpusError(f"{path} is missing: copy or download it again.")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed; damage becomes a `CorpusError`."""
    opener = _OPENERS.get(path.suffix.lower(), _plain)
    try:
        with opener(path) as stream:
            yield stream
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise CorpusError(
            f"{path} is damaged or incomplete ({error}): copy or download it again."
        ) from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}.") from error
