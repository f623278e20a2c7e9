"""Checksums that tie a figure to the very files it was computed from, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

MODEL_FILES = ("config.json", "*.safetensors", "tokenizer.json")

_CHUNK = 1 << 20


def folder_checksum(folder: Path, patterns: Sequence[str] = MODEL_FILES) -> str:
    """SHA-256 (hex) over names, sizes and contents of the files in `folder` that match `patterns`.

    Files are taken in the order of their names and links are followed, so that copies of a folder
    have one checksum wherever they lie. By default: all that decides what a language model says.
    """
    digest = hashlib.sha256()
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(files, key=lambda path: path.name):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        _add(digest, path)
    return digest.hexdigest()


def file_checksum(path: Path) -> str:
    """SHA-256 (hex) over the contents of a file."""
    digest = hashlib.sha256()
    _add(digest, path)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
