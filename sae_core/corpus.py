"""Corpora: documents of text, read in place and fingerprinted."""

from __future__ import annotations

import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sae_core.errors import CorpusError

STDLIB = "python-stdlib"
HELD_OUT_ONE_IN = 50
SEPARATOR = "<|endoftext|>"
_SEPARATION = re.compile(rf"^{re.escape(SEPARATOR)}[ \t]*\r?\n?", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    """One text with the name it is shown under."""

    name: str
    text: str

    @property
    def held_out(self) -> bool:
        """Whether no training may see this document: one in fifty, by the hash of its text.

        By text and not by name, so that the same file under another name or in another Python
        version stays on its side of the split.
        """
        digest = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


@dataclass(frozen=True)
class Corpus:
    """Documents in a fixed order; texts that occur twice are kept once.

    Attributes:
        name: what pages call it.
        source: where the text was read from, in words.
        paths: the files, in order, with the name of each.
    """

    name: str
    source: str
    paths: tuple[tuple[str, Path], ...]

    def documents(self) -> Iterator[Document]:
        """Yield each distinct, non-empty document once, in order.

        Bytes that are not UTF-8 become U+FFFD. Repeated texts would fill every top-20 with copies
        of one context, so only the first is kept.
        """
        seen: set[bytes] = set()
        for name, path in self.paths:
            for document in _read(name, path):
                digest = hashlib.sha256(document.text.encode()).digest()
                if not document.text.strip() or digest in seen:
                    continue
                seen.add(digest)
                yield document

    def fingerprint(self) -> str:
        """SHA-256 over the names and texts of all documents, in order."""
        total = hashlib.sha256()
        for document in self.documents():
            for part in (document.name, document.text):
                raw = part.encode()
                total.update(len(raw).to_bytes(8, "big") + raw)
        return total.hexdigest()


def _read(name: str, path: Path) -> Iterator[Document]:
    """The file's documents: the whole of it, or the parts between lines that say SEPARATOR.

    A part is named `name#n`, n from 1.
    """
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}.") from error
    parts = _SEPARATION.split(text) if path.suffix == ".txt" else [text]
    if len(parts) == 1:
        yield Document(name, text)
        return
    for n, part in enumerate(parts, start=1):
        yield Document(f"{name}#{n}", part)


def standard_library() -> Corpus:
    """The source of the running interpreter's standard library, tests included where installed."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = tuple(
        (path.relative_to(root).as_posix(), path)
        for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix())
        if "site-packages" not in path.relative_to(root).parts
    )
    if not paths:
        raise CorpusError(f"No Python source under {root}: this interpreter ships no library text.")
    version = ".".join(map(str, sys.version_info[:3]))
    return Corpus(STDLIB, f"the standard library of Python {version}, read in place", paths)


def text_files(path: Path) -> Corpus:
    """A text file, or every `.txt`, `.md` and `.py` file under a folder.

    A file is one document; a `.txt` file is one for each part between lines `<|endoftext|>`.
    """
    if path.is_file():
        return Corpus(path.stem, f"the file {path.name}", ((path.name, path),))
    if not path.is_dir():
        raise CorpusError(f"There is no text at {path}: give a text file or a folder of them.")
    found = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in {".txt", ".md", ".py"})
    if not found:
        raise CorpusError(f"{path} holds no .txt, .md or .py file.")
    paths = tuple((p.relative_to(path).as_posix(), p) for p in found)
    return Corpus(path.name, f"{len(paths)} files under the folder {path.name}", paths)


def open_corpus(name: str) -> Corpus:
    """The corpus of that name: `python-stdlib`, or a path to a text file or folder."""
    return standard_library() if name == STDLIB else text_files(Path(name))
