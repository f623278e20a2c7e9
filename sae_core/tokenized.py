"""A corpus as token ids, cut into windows that never cross a document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sae_core.atomic import atomic_folder
from sae_core.corpus import Corpus, Document
from sae_core.errors import CorpusError

_ENCODE_DOCUMENTS = 256


@dataclass(frozen=True)
class TokenizedCorpus:
    """All documents' tokens, end to end, without special tokens.

    Attributes:
        name: the corpus's name.
        source: where its text was read, in words.
        fingerprint: SHA-256 of names, texts and tokenizer.
        tokens: ids, [n_tokens], unsigned.
        offsets: document d is `tokens[offsets[d]:offsets[d + 1]]`, [n_documents + 1].
        names: the documents' names.
        held_out: whether training must not see the document, [n_documents].
    """

    name: str
    source: str
    fingerprint: str
    tokens: NDArray[np.unsignedinteger]
    offsets: NDArray[np.int64]
    names: tuple[str, ...]
    held_out: NDArray[np.bool_]

    @property
    def n_documents(self) -> int:
        """Documents in the corpus."""
        return len(self.names)

    @property
    def n_tokens(self) -> int:
        """Tokens in the corpus."""
        return len(self.tokens)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens in each document, [n_documents]."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Windows:
    """The windows of a corpus: BOS (where the model has one), then tokens of one document.

    A window's number counts through all documents in order, so that it names the same tokens
    whatever part of the corpus is read, and in whatever order.

    Attributes:
        corpus: the text.
        n_ctx: positions in a window, BOS included.
        bos: the id that opens each window, or None.
    """

    corpus: TokenizedCorpus
    n_ctx: int
    bos: int | None

    @property
    def n_text(self) -> int:
        """Positions of a window that hold text."""
        return self.n_ctx - (self.bos is not None)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Number of each document's first window, with the total at the end."""
        per_document = -(-self.corpus.lengths // self.n_text)
        return np.concatenate([[0], np.cumsum(per_document)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.first[-1])

    def document_of(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The document that each window lies in."""
        found: NDArray[np.int64] = np.searchsorted(self.first, windows, side="right") - 1
        return found

    def start_of(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of each window's first token inside its document."""
        return (windows - self.first[self.document_of(windows)]) * self.n_text

    def lengths(self, windows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of text in each window; below `n_text` at a document's end."""
        left = self.corpus.lengths[self.document_of(windows)] - self.start_of(windows)
        inside: NDArray[np.int64] = np.minimum(left, self.n_text)
        return inside

    def gather(self, windows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Tokens [n, n_ctx] and the mask of positions that hold text [n, n_ctx].

        Padding lies at the end, where a causal model cannot look, and repeats the opening token.
        """
        lead = self.n_ctx - self.n_text
        place = np.arange(self.n_text)
        inside = place < self.lengths(windows)[:, None]
        begin = self.corpus.offsets[self.document_of(windows)] + self.start_of(windows)
        index = np.where(inside, begin[:, None] + place, 0)
        filler = 0 if self.bos is None else self.bos
        tokens = np.full((len(windows), self.n_ctx), filler, dtype=np.int64)
        tokens[:, lead:] = np.where(inside, self.corpus.tokens[index].astype(np.int64), filler)
        mask = np.zeros(tokens.shape, dtype=bool)
        mask[:, lead:] = inside
        return tokens, mask

    def select(self, n_tokens: int | None, seed: int) -> NDArray[np.int64]:
        """Windows in seeded random order, cut where `n_tokens` tokens of text are reached."""
        order = np.random.default_rng(seed).permutation(len(self)).astype(np.int64)
        if n_tokens is None:
            return order
        total = np.cumsum(self.lengths(order))
        return order[: int(np.searchsorted(total, n_tokens)) + 1]

    def of_documents(self, held_out: bool) -> NDArray[np.int64]:
        """All windows of held-out, or of the other, documents."""
        every = np.arange(len(self), dtype=np.int64)
        wanted: NDArray[np.int64] = every[self.corpus.held_out[self.document_of(every)] == held_out]
        return wanted


def tokenize(corpus: Corpus, tokenizer: Tokenizer, cache: Path) -> TokenizedCorpus:
    """Encode a corpus, or read it from `cache` where the same text was encoded before.

    Raises:
        CorpusError: there is no text in the corpus.
    """
    spelling = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    fingerprint = hashlib.sha256(f"{corpus.fingerprint()} {spelling}".encode()).hexdigest()
    folder = cache / fingerprint[:24]
    if not folder.exists():
        _encode(corpus, tokenizer, folder)
    head = json.loads((folder / "corpus.json").read_text())
    return TokenizedCorpus(
        name=corpus.name,
        source=corpus.source,
        fingerprint=fingerprint,
        tokens=np.load(folder / "tokens.npy", mmap_mode="r"),
        offsets=np.load(folder / "offsets.npy"),
        names=tuple(head["names"]),
        held_out=np.array(head["held_out"], dtype=bool),
    )


def _encode(corpus: Corpus, tokenizer: Tokenizer, folder: Path) -> None:
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    parts: list[NDArray[np.unsignedinteger]] = []
    names: list[str] = []
    held_out: list[bool] = []
    for batch in _batches(corpus):
        names += [d.name for d in batch]
        held_out += [d.held_out for d in batch]
        encoded = tokenizer.encode_batch_fast([d.text for d in batch], add_special_tokens=False)
        parts += [np.array(e.ids, dtype=dtype) for e in encoded]
    if not any(len(part) for part in parts):
        raise CorpusError(f"The corpus {corpus.name} holds no text.")
    with atomic_folder(folder) as target:
        np.save(target / "tokens.npy", np.concatenate(parts))
        lengths = [len(part) for part in parts]
        np.save(target / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        head = {"names": names, "held_out": held_out}
        (target / "corpus.json").write_text(json.dumps(head))


def _batches(corpus: Corpus) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for document in corpus.documents():
        batch.append(document)
        if len(batch) == _ENCODE_DOCUMENTS:
            yield batch
            batch = []
    if batch:
        yield batch
