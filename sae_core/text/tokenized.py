"""A corpus as token ids, cut into windows that never cross a document."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sae_core.errors import CorpusError
from sae_core.text.corpus import Fingerprint, TextCorpus
from sae_core.text.document import LONGEST, Document
from sae_core.text.token_folder import TokenFolder, read_token_folder, token_folder

_ENCODE_DOCUMENTS = 256


@dataclass(frozen=True)
class TokenizedCorpus:
    """All documents' tokens, end to end, without special tokens.

    Attributes:
        name: what pages call the corpus.
        source: where its text was read, in words.
        fingerprint: SHA-256 of names, texts and tokenizer.
        tokens: ids, [n_tokens], unsigned.
        offsets: document d is `tokens[offsets[d]:offsets[d + 1]]`, [n_documents + 1].
        names: the documents' names.
        held_out: whether training must not see the document, [n_documents].
        details: how it was read, in words, for those who read its figures.
    """

    name: str
    source: str
    fingerprint: str
    tokens: NDArray[np.unsignedinteger]
    offsets: NDArray[np.int64]
    names: tuple[str, ...]
    held_out: NDArray[np.bool_]
    details: Mapping[str, str] = field(default_factory=dict)

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
        corpus: the tokenized text.
        n_ctx: positions in a window, BOS included.
        bos: the token id that opens each window; None: the model has no such token.
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
        documents: NDArray[np.int64] = np.searchsorted(self.first, windows, side="right") - 1
        return documents

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
        # Index of each position's token in the corpus; 0 where a window has ended.
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
        """All windows in a random order made from the seed, or the first of them that hold
        `n_tokens` tokens of text."""
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


def tokenize(
    corpus: TextCorpus,
    tokenizer: Tokenizer,
    cache: Path,
    n_tokens: int | None = None,
    on_tokens: Callable[[int], None] | None = None,
) -> TokenizedCorpus:
    """Encode a corpus, or read it from `cache` where the same text was encoded before.

    Args:
        corpus: the documents to encode.
        tokenizer: that of the language model.
        cache: folder of encoded corpora.
        n_tokens: read no further than the document in which so many tokens are reached; None: read
            everything. The fingerprint is of what was read.
        on_tokens: called after every batch with how many tokens are encoded.

    Raises:
        CorpusError: there is no text in the corpus.
    """
    spelling = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    # What was encoded before is read again only if the text is still the same.
    folder = cache / _key(corpus, spelling, n_tokens)
    stored = read_token_folder(folder)
    if stored is None or not _is_unchanged(corpus, stored, n_tokens):
        shutil.rmtree(folder, ignore_errors=True)
        _encode(corpus, tokenizer, folder, n_tokens, on_tokens)
        stored = read_token_folder(folder)
    assert stored is not None
    details = {} if corpus.shuffle is None else {"order": f"shuffled, seed {corpus.shuffle}"}
    if n_tokens is not None:
        details["read"] = f"as far as {n_tokens:,} tokens"
    return TokenizedCorpus(
        name=corpus.name,
        source=corpus.source,
        fingerprint=hashlib.sha256(f"{stored.fingerprint} {spelling}".encode()).hexdigest(),
        tokens=stored.tokens,
        offsets=stored.offsets,
        names=stored.names,
        held_out=stored.held_out,
        details=details,
    )


def _key(corpus: TextCorpus, spelling: str, n_tokens: int | None) -> str:
    """The name of a corpus's folder: everything that it can be known by without reading it."""
    places = [(name, str(path.absolute())) for name, path in corpus.paths]
    facts = [spelling, places, corpus.column, corpus.shuffle, str(corpus.dataset), n_tokens]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _is_unchanged(corpus: TextCorpus, stored: TokenFolder, n_tokens: int | None) -> bool:
    """Whether the text is still what was encoded; a commit of the Hub never changes."""
    if corpus.dataset is not None:
        return True
    first = None if n_tokens is None else len(stored.names)
    return corpus.fingerprint(first) == stored.fingerprint


def _encode(
    corpus: TextCorpus,
    tokenizer: Tokenizer,
    folder: Path,
    n_tokens: int | None,
    on_tokens: Callable[[int], None] | None,
) -> None:
    """Encode the documents of a corpus into a folder, as far as `n_tokens`."""
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    fingerprint = Fingerprint()
    with token_folder(folder, dtype) as writer:
        for batch in _batches(corpus):
            encoded = tokenizer.encode_batch_fast([d.text for d in batch], add_special_tokens=False)
            for document, encoding in zip(batch, encoded, strict=True):
                writer.add(document.name, encoding.ids, document.held_out)
                fingerprint.add(document)
                if n_tokens is not None and writer.n_tokens >= n_tokens:
                    break
            if on_tokens is not None:
                on_tokens(writer.n_tokens)
            if n_tokens is not None and writer.n_tokens >= n_tokens:
                break
        if writer.n_tokens == 0:
            raise CorpusError(f"The corpus {corpus.name} holds no text.")
        writer.fingerprint = fingerprint.hexdigest()


def _batches(corpus: TextCorpus) -> Iterator[list[Document]]:
    """Documents in batches of bounded size."""
    batch: list[Document] = []
    size = 0
    for document in corpus.documents():
        batch.append(document)
        size += len(document.text)
        if len(batch) == _ENCODE_DOCUMENTS or size >= LONGEST:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
