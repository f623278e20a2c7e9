"""Rows with a column of text: JSON lines, Parquet, Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from sae_core.errors import CorpusError
from sae_core.text.document import Document, cut, numbered

LONGEST_LINE = 1 << 28  # bytes
_ROWS = 256


def row_documents(
    name: str, rows: Iterable[tuple[int, Mapping[str, Any]]], column: str
) -> Iterator[Document]:
    """One document for each row, called `name#row`; rows without a text are left out.

    Args:
        name: what the file or data set is called.
        rows: the number of each row, and its columns.
        column: which of the columns holds the text.

    Raises:
        CorpusError: there is no such column, or it holds no text.
    """
    for number, row in rows:
        if column not in row:
            raise CorpusError(_no_column(f"Row {number} of {name}", column, list(row)))
        text = row[column]
        if text is None:
            continue
        if not isinstance(text, str):
            raise CorpusError(
                f"Row {number} of {name} holds no text under {column!r} but a "
                f"{type(text).__name__}: name a column of text with --column."
            )
        # Lone surrogates, which JSON can spell, are no text for a tokenizer.
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        yield from numbered(f"{name}#{number}", cut(text))


def json_rows(name: str, stream: IO[bytes]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Line number, from 1, and object of each line of a file with one JSON object a line.

    Raises:
        CorpusError: a line is no JSON object, or too long.
    """
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise CorpusError(
                f"Line {number} of {name} is longer than {LONGEST_LINE >> 20} MB: "
                "write one JSON object a line, with one text in each."
            )
        if line.isspace():
            continue
        try:
            row = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            whole = number == 1 and line.lstrip()[:1] in (b"[", b"{")
            hint = " (`jq -c '.[]'` makes such a file of one JSON array)" if whole else ""
            raise CorpusError(
                f"Line {number} of {name} is no JSON ({error}): write one object a line{hint}."
            ) from error
        if not isinstance(row, dict):
            raise CorpusError(
                f"Line {number} of {name} is no JSON object but a {type(row).__name__}: write "
                'lines such as {"text": "…"}.'
            )
        yield number, row


def parquet_rows(name: str, path: Path, column: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Row number, from 1, and the one column of a Parquet file, read a few rows at a time.

    Raises:
        CorpusError: the file is damaged, or has no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            _need_column(name, column, file.schema_arrow.names)
            yield from _of_batches(file.iter_batches(_ROWS, columns=[column]), column)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(_damaged(path, error)) from error


def arrow_rows(name: str, path: Path, column: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """As `parquet_rows`, of an Arrow file, as data sets are saved to disk (a stream, or with an
    index)."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            head = source.read(6)
            source.seek(0)
            if head == b"ARROW1":
                file = pa.ipc.open_file(source)
                _need_column(name, column, file.schema.names)
                batches = (file.get_batch(n) for n in range(file.num_record_batches))
                yield from _of_batches(batches, column)
            else:
                stream = pa.ipc.open_stream(source)
                _need_column(name, column, stream.schema.names)
                yield from _of_batches(stream, column)
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(_damaged(path, error)) from error


def _of_batches(batches: Iterable[Any], column: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Row number, from 1, and that column of each row of Arrow record batches."""
    number = 0
    for batch in batches:
        values = batch.column(batch.schema.get_field_index(column))
        for begin in range(0, len(values), _ROWS):
            for value in values[begin : begin + _ROWS].to_pylist():
                number += 1
                yield number, {column: value}


def _need_column(name: str, column: str, there: list[str]) -> None:
    if column not in there:
        raise CorpusError(_no_column(name, column, there))


def _no_column(place: str, column: str, there: list[str]) -> str:
    shown = ", ".join(map(repr, there[:20])) or "none"
    return f"{place} has no column {column!r}: name one with --column, there are {shown}."


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0]
    return f"{path} is damaged or incomplete ({reason}): copy or download it again."
