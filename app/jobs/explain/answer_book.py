"""Answers of endpoints that were paid for, kept so that none is paid for twice."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.errors import Conflict


def answer_key(address: str, body: Mapping[str, Any]) -> str:
    """The same for equal questions to the same endpoint, SHA-256 in hex."""
    asked = json.dumps([address, body], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(asked.encode()).hexdigest()


class AnswerBook:
    """A file to which each answer is written, and synchronised, as soon as it has come.

    A line is one JSON document: the question's key, and the endpoint's whole reply. A line that a
    kill cut off is passed over; the next one begins on a line of its own. Safe to share between
    threads; one process at a time.

    Args:
        path: the file, made where there is none.

    Raises:
        Conflict: another process is writing to it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a+b")
        self._lock = threading.Lock()
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._stream.close()
            raise Conflict(f"Another command writes to {path}; wait until it has ended.") from None
        self._answers: dict[str, Any] = {}
        self._read()

    def _read(self) -> None:
        self._stream.seek(0)
        last = b"\n"
        for last in self._stream:
            try:
                line = json.loads(last)
                self._answers[line["key"]] = line["answer"]
            except (ValueError, KeyError, TypeError):
                continue
        if not last.endswith(b"\n"):
            self._stream.write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> Any:
        """What was answered; None: nothing yet."""
        with self._lock:
            return self._answers.get(key)

    def keep(self, key: str, answer: Any) -> None:
        """Keep an answer; it is on the disk when this returns."""
        line = json.dumps({"key": key, "answer": answer}, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._answers[key] = answer
