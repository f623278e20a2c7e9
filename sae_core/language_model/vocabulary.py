"""A tokenizer's vocabulary as bytes: what each token really stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

_BYTE_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_of_symbol() -> dict[str, int]:
    """The inverse of GPT-2's `bytes_to_unicode`: printable stand-in -> byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in printable}
    others = [b for b in range(256) if b not in set(printable)]
    return table | {chr(256 + n): b for n, b in enumerate(others)}


@dataclass(frozen=True)
class Vocabulary:
    """Every token's bytes.

    Attributes:
        pieces: for each token id its bytes; special tokens carry their name, as `<|endoftext|>`.
        special: ids of special tokens. They never count in statistics.
        bos: the id that opens a window, or None where the model has none.
    """

    pieces: tuple[bytes, ...]
    special: frozenset[int]
    bos: int | None

    @cached_property
    def newlines(self) -> NDArray[np.int64]:
        """Line feeds inside each token. Shape [d_vocab]."""
        return np.array([piece.count(b"\n") for piece in self.pieces], dtype=np.int64)

    @cached_property
    def is_special(self) -> NDArray[np.bool_]:
        """Shape [d_vocab]."""
        mask = np.zeros(len(self.pieces), dtype=bool)
        mask[sorted(self.special)] = True
        return mask

    @cached_property
    def tokens(self) -> dict[bytes, int]:
        """The token of each bytes: one of the text's own before a special one, and of two that say
        the same the later, because bytes that stand in for unknown characters come first."""
        special = {self.pieces[token]: token for token in sorted(self.special)}
        own = {p: token for token, p in enumerate(self.pieces) if token not in self.special}
        return special | own


def read_vocabulary(tokenizer: Tokenizer, d_vocab: int, bos: int | None) -> Vocabulary:
    """The bytes behind each id of a byte-level or SentencePiece-style tokenizer.

    `d_vocab` may exceed the tokenizer's size (padded embeddings): the extra ids are named
    `<unused N>` and count as special.
    """
    byte_of = _byte_of_symbol()
    byte_level = "ByteLevel" in repr(tokenizer.decoder) or "ByteLevel" in repr(
        tokenizer.pre_tokenizer
    )
    added = tokenizer.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special}
    pieces: list[bytes] = []
    for i in range(d_vocab):
        symbol = tokenizer.id_to_token(i)
        if symbol is None:
            special.add(i)
            pieces.append(f"<unused {i}>".encode())
        elif i in added:
            pieces.append(symbol.encode())
        elif byte_level and all(c in byte_of for c in symbol):
            pieces.append(bytes(byte_of[c] for c in symbol))
        elif match := _BYTE_FALLBACK.fullmatch(symbol):
            pieces.append(bytes([int(match[1], 16)]))
        else:
            pieces.append(symbol.replace("▁", " ").encode("utf-8", "surrogatepass"))
    if bos is not None:
        special.add(bos)
    return Vocabulary(tuple(pieces), frozenset(i for i in special if i < d_vocab), bos)
