"""A tokenizer's vocabulary as bytes: what each token really stands for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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
    """The bytes behind each id, so that the pieces of a text, put together, read as the text.

    `d_vocab` may exceed the tokenizer's size (padded embeddings): the extra ids are named
    `<unused N>` and count as special.
    """
    added = tokenizer.get_added_tokens_decoder()
    special = {i for i, token in added.items() if token.special}
    spell = _spelling(tokenizer)
    pieces: list[bytes] = []
    for i in range(d_vocab):
        symbol = tokenizer.id_to_token(i)
        if symbol is None:
            special.add(i)
            pieces.append(f"<unused {i}>".encode())
        elif i in special:
            pieces.append(symbol.encode())
        else:
            pieces.append(spell(i, symbol, i in added))
    if bos is not None:
        special.add(bos)
    return Vocabulary(tuple(pieces), frozenset(i for i in special if i < d_vocab), bos)


def _spelling(tokenizer: Tokenizer) -> Callable[[int, str, bool], bytes]:
    """What makes the bytes of a token of its id, its symbol, and whether it was added by hand.

    Byte-level tokenizers and those in SentencePiece's manner say it by the symbol alone, including
    bytes that are no whole character. All others (word pieces, whole words, BPE with an ending) are
    asked for what they decode.
    """
    decoder = repr(tokenizer.decoder)
    if "ByteLevel" in decoder or "ByteLevel" in repr(tokenizer.pre_tokenizer):
        byte_of = _byte_of_symbol()

        def of_bytes(_: int, symbol: str, by_hand: bool) -> bytes:
            if not by_hand and all(c in byte_of for c in symbol):
                return bytes(byte_of[c] for c in symbol)
            return symbol.encode() if by_hand else _blanks(symbol)

        return of_bytes
    known = ("▁", "Metaspace", "ByteFallback")
    if any(word in decoder or word in repr(tokenizer.normalizer) for word in known):
        return lambda _, symbol, __: _blanks(symbol)
    if (ending := _ending(tokenizer)) is not None:
        return lambda _, symbol, __: _with_ending(symbol, ending)
    anchor = _anchor(tokenizer)
    before = "" if anchor is None else tokenizer.decode([anchor], skip_special_tokens=False)

    def decoded(token: int, symbol: str, _: bool) -> bytes:
        if anchor is None:
            return _blanks(symbol)
        both: str = tokenizer.decode([anchor, token], skip_special_tokens=False)
        if not both.startswith(before):
            return _blanks(symbol)
        return both.removeprefix(before).encode("utf-8", "surrogatepass")

    return decoded


def _blanks(symbol: str) -> bytes:
    """A symbol in SentencePiece's manner: a byte by its number, or text with its own blank."""
    if match := _BYTE_FALLBACK.fullmatch(symbol):
        return bytes([int(match[1], 16)])
    return symbol.replace("▁", " ").encode("utf-8", "surrogatepass")


def _ending(tokenizer: Tokenizer) -> str | None:
    """What stands at the end of a word's last token, such as `</w>`."""
    decoder = json.loads(tokenizer.to_str()).get("decoder") or {}
    return str(decoder["suffix"]) if decoder.get("type") == "BPEDecoder" else None


def _with_ending(symbol: str, ending: str) -> bytes:
    text = f"{symbol.removesuffix(ending)} " if symbol.endswith(ending) else symbol
    return text.encode("utf-8", "surrogatepass")


def _anchor(tokenizer: Tokenizer) -> int | None:
    """A token that is a plain word, which others can be decoded after."""
    special = set(tokenizer.get_added_tokens_decoder())
    ordered = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda pair: pair[1])
    words = (i for symbol, i in ordered if symbol.isascii() and symbol.isalnum())
    return next((i for i in words if i not in special), None)
