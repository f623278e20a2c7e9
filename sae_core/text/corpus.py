"""Corpora: documents of text, read in place and fingerprinted."""

from __future__ import annotations

import hashlib
import random
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sae_core.errors import CorpusError
from sae_core.text.document import Document
from sae_core.text.files import file_documents, files_under, unpacked
from sae_core.text.hub_datasets import PREFIX, HubDataset, open_dataset

STDLIB = "python-stdlib"
SHUFFLED_DOCUMENTS = 10_000
SHUFFLED_CHARACTERS = 1 << 26


@dataclass(frozen=True)
class TextCorpus:
    """Documents in a fixed order; texts that occur twice are kept once.

    Attributes:
        name: what pages call the text.
        source: where the text was read from, in words.
        paths: the files, in order, with the name of each; empty for a data set of the Hub.
        column: which column of JSON lines, Parquet and Arrow holds the text.
        shuffle: what a random order of the documents is made from; None: as they lie.
        dataset: the data set of the Hub that is read; None: files are.
    """

    name: str
    source: str
    paths: tuple[tuple[str, Path], ...]
    column: str = "text"
    shuffle: int | None = None
    dataset: HubDataset | None = None

    def documents(self) -> Iterator[Document]:
        """Yield each distinct, non-empty document once, in order, read as they are asked for.

        Repeated texts would fill every top-20 with copies of one context, so only the first is
        kept.
        """
        seen: set[bytes] = set()
        for document in self._ordered():
            digest = hashlib.sha256(document.text.encode()).digest()
            if not document.text.strip() or digest in seen:
                continue
            seen.add(digest)
            yield document

    def fingerprint(self, n_documents: int | None = None) -> str:
        """SHA-256 over the names and texts of all documents, or of the first ones, in order."""
        total = Fingerprint()
        for number, document in enumerate(self.documents()):
            if number == n_documents:
                break
            total.add(document)
        return total.hexdigest()

    def _ordered(self) -> Iterator[Document]:
        if self.shuffle is None:
            return self._read(self.paths)
        draw = random.Random(self.shuffle)  # noqa: S311
        paths = list(self.paths)
        draw.shuffle(paths)
        return _shuffled(self._read(paths), draw)

    def _read(self, paths: Iterable[tuple[str, Path]]) -> Iterator[Document]:
        if self.dataset is not None:
            yield from self.dataset.documents(self.column)
        for name, path in paths:
            yield from file_documents(name, path, self.column)


class Fingerprint:
    """SHA-256 over names and texts of documents, in the order they are added."""

    def __init__(self) -> None:
        self._total = hashlib.sha256()

    def add(self, document: Document) -> None:
        """One more document."""
        for part in (document.name, document.text):
            raw = part.encode()
            self._total.update(len(raw).to_bytes(8, "big") + raw)

    def hexdigest(self) -> str:
        """The fingerprint of all documents so far."""
        return self._total.hexdigest()


def _shuffled(documents: Iterable[Document], draw: random.Random) -> Iterator[Document]:
    """The documents through a buffer of bounded size, each drawn from all that are in it."""
    kept: list[Document] = []
    size = 0
    for document in documents:
        kept.append(document)
        size += len(document.text)
        while len(kept) > SHUFFLED_DOCUMENTS or (size > SHUFFLED_CHARACTERS and len(kept) > 1):
            place = draw.randrange(len(kept))
            kept[place], kept[-1] = kept[-1], kept[place]
            drawn = kept.pop()
            size -= len(drawn.text)
            yield drawn
    draw.shuffle(kept)
    yield from kept


def standard_library() -> TextCorpus:
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
    return TextCorpus(STDLIB, f"the standard library of Python {version}, read in place", paths)


def text_files(path: Path, column: str = "text", shuffle: int | None = None) -> TextCorpus:
    """A file of text, or all files of text under a folder (see `files`).

    Raises:
        CorpusError: there is no such file or folder, or no text in it.
    """
    if path.is_file():
        paths: tuple[tuple[str, Path], ...] = ((path.name, path),)
        return TextCorpus(unpacked(path).stem, f"the file {path.name}", paths, column, shuffle)
    if not path.is_dir():
        raise CorpusError(f"There is no text at {path}: give a text file or a folder of them.")
    paths = tuple((p.relative_to(path).as_posix(), p) for p in files_under(path))
    name = path.resolve().name
    return TextCorpus(name, f"{len(paths)} files under the folder {name}", paths, column, shuffle)


def open_corpus(
    name: str, column: str = "text", shuffle: int | None = None, revision: str | None = None
) -> TextCorpus:
    """The corpus of that name.

    Args:
        name: `python-stdlib`, a path to a file or folder of text, or `hf:owner/name[:split]`.
        column: which column of JSON lines, Parquet and Arrow holds the text.
        shuffle: what a random order of the documents is made from; None: as they lie.
        revision: commit, branch or tag of a data set of the Hub; None: its newest.

    Raises:
        CorpusError: there is no such text.
    """
    if name == STDLIB:
        return replace(standard_library(), shuffle=shuffle)
    if not name.startswith(PREFIX):
        return text_files(Path(name).expanduser(), column, shuffle)
    dataset = open_dataset(name, revision)
    words = f"the split {dataset.split} of {dataset.name} on the Hugging Face Hub"
    source = f"{words}, commit {dataset.commit}"
    title = dataset.name.rpartition("/")[2]
    return TextCorpus(title, source, (), column, shuffle, dataset)
