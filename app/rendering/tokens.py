"""How a token looks: every byte visible, nothing of it alive in the page."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from html import escape
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sae_core.language_model.vocabulary import Vocabulary

SPACE, NEWLINE, TAB, RETURN = "␣", "⏎", "⇥", "␍"  # the same as in static/js/marks.js

_MARKS = {" ": SPACE, "\n": NEWLINE, "\t": TAB, "\r": RETURN}
_MEANT = {ord(sign): character for character, sign in _MARKS.items()}
_ESCAPES = {"n": 0x0A, "t": 0x09, "r": 0x0D}
_ESCAPE = re.compile(r"\\(?:([ntr])|x([0-9A-Fa-f]{2}))")
_TYPED = {chr(code): f"\\{letter}" for letter, code in _ESCAPES.items()}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
_UNSEEN |= {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
_COMBINING = {"Mn", "Mc", "Me"}
_MANY_MARKS, _MANY = 4, 8

TEXT, MARK, ESCAPE = "text", "mark", "escape"
_SPACE = (MARK, SPACE)


def segments(piece: bytes) -> Iterator[tuple[str, str]]:
    """Cut a token into (kind, visible form).

    `text` is printable as it is; `mark` stands for white space; `escape` for a byte that is not
    UTF-8 (`\\xe2`), a control character (its Unicode picture) or a character without a look of its
    own (`U+202E`). A combining mark without a base gets the dotted circle.
    """
    if not piece:
        yield ESCAPE, "∅"
    text = ""
    for char in piece.decode("utf-8", "surrogateescape"):
        kind, shown = _look(char)
        if kind == TEXT:
            alone = not text and unicodedata.category(char) in _COMBINING
            text += f"◌{shown}" if alone else shown
            continue
        if text:
            yield TEXT, text
            text = ""
        yield kind, shown
    if text:
        yield TEXT, text


def _look(char: str) -> tuple[str, str]:
    """Kind and visible form of one character."""
    if char in _MARKS:
        return MARK, _MARKS[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return ESCAPE, f"\\x{code - 0xDC00:02x}"
    if code < 0x20:
        return ESCAPE, chr(0x2400 + code)
    if code == 0x7F:
        return ESCAPE, "␡"
    if code in _UNSEEN or unicodedata.category(char) in _HIDDEN:
        return ESCAPE, f"U+{code:04X}"
    return TEXT, char


def visible(piece: bytes) -> str:
    """A token as plain text in which nothing is invisible."""
    return "".join(shown for _, shown in segments(piece))


def printable(text: str) -> str:
    """Any text from outside (a file name, a label) on one line, with spaces as they are."""
    if not text or (text.isascii() and text.isprintable()):
        return text
    piece = _bytes(text)
    return "".join(" " if (kind, shown) == _SPACE else shown for kind, shown in segments(piece))


def spellings(typed: str) -> tuple[bytes, ...]:
    """The bytes that a typed token may stand for: as it is, with signs of white space as what they
    stand for, and with `\\n`, `\\t` and `\\x0a` as what they mean. Code may hold all of them."""
    meant = typed.translate(_MEANT)
    forms = (typed, meant, _ESCAPE.sub(_unescaped, meant))
    return tuple(dict.fromkeys(_bytes(form) for form in forms))


def typeable(text: str) -> str:
    """A text as it can stand in a field of one line, and be typed there: characters that such a
    field drops or changes as `\\n` or `\\x00`, which `spellings` reads as what they are."""
    return _CONTROL.sub(lambda match: _TYPED.get(match[0], f"\\x{ord(match[0]):02x}"), text)


def _unescaped(match: re.Match[str]) -> str:
    code = _ESCAPES[match[1]] if match[1] else int(match[2], 16)
    return chr(code if code < 0x80 else 0xDC00 + code)


def _bytes(text: str) -> bytes:
    """As UTF-8, bytes that are none as they were; other lone surrogates as themselves."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def real(piece: bytes) -> str:
    """A token's own text, for copying; bytes that are not UTF-8 as `\\xe2`."""
    return "".join(
        f"\\x{ord(char) - 0xDC00:02x}" if 0xDC80 <= ord(char) <= 0xDCFF else char
        for char in piece.decode("utf-8", "surrogateescape")
    )


def _label(piece: bytes) -> str:
    """HTML of a token that stands alone: white space marked, long runs of anything counted."""
    parts: list[str] = []
    for (kind, shown), run in groupby(_characters(piece)):
        times = len(list(run))
        few = times <= (_MANY_MARKS if kind == MARK else _MANY)
        html = escape(shown) * (times if few else 1)
        parts.append(html if kind == TEXT else f"<i>{html}</i>")
        if not few:
            parts.append(f"<i>×{times}</i>")
    return "".join(parts)


def _characters(piece: bytes) -> Iterator[tuple[str, str]]:
    """The segments of a token, text character by character."""
    for kind, shown in segments(piece):
        if kind == TEXT:
            yield from ((TEXT, char) for char in shown)
        else:
            yield kind, shown


def _inline(piece: bytes) -> str:
    """HTML of a token inside running text: spaces as they are, line feeds as `⏎`. One of nothing
    but white space is hatched and no wider than a few letters, so that it does not shout."""
    return _hatched(piece, _running(piece), "w")


def _broken(piece: bytes) -> str:
    """As `_inline`, but the line really breaks after each `⏎`, and all blanks have their width."""
    html = _running(piece).replace(f"<i>{NEWLINE}</i>", f"<i>{NEWLINE}</i>\n")
    return _hatched(piece, html, "h")


def _running(piece: bytes) -> str:
    return "".join(
        " " if (kind, shown) == _SPACE else escape(shown) if kind == TEXT else f"<i>{shown}</i>"
        for kind, shown in segments(piece)
    )


def _hatched(piece: bytes, html: str, kind: str) -> str:
    """The HTML in an element of that class, where the token is nothing but white space."""
    return html if piece.strip(b" \t\r\n") or not piece else f"<i class={kind}>{html}</i>"


class Lazy(dict[int, str]):
    """token id -> rendered form, made when first asked for: large vocabularies cost nothing."""

    def __init__(self, make: Callable[[int], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, token: int) -> str:
        rendered = self[token] = self._make(token)
        return rendered


class LazyArray:
    """The same for thousands of tokens at once, all of them in the vocabulary."""

    def __init__(self, make: Callable[[int], str], size: int) -> None:
        self._make = make
        self._made = np.full(size, None, dtype=object)

    def __getitem__(self, tokens: NDArray[np.int64]) -> list[str]:
        rendered: list[str] = self._made[tokens].tolist()
        if None in rendered:
            for token in {t for t, form in zip(tokens.tolist(), rendered, strict=True) if not form}:
                self._made[token] = self._make(token)
            rendered = self._made[tokens].tolist()
        return rendered


class Typeset:
    """A vocabulary ready for pages.

    Attributes:
        inline: HTML inside running text, a line feed as its mark.
        broken: the same, and the line breaks there.
        bare: `inline` in a <bdi> of its own, so that no token turns its neighbours' direction;
            for arrays of tokens.
        bare_broken: `broken` likewise.
        label: HTML of a token that stands alone.
        visible: plain text in which nothing is invisible.
        real: plain text as the token has it.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.inline = Lazy(lambda token: self._html(token, _inline))
        self.broken = Lazy(lambda token: self._html(token, _broken))
        size = len(vocabulary.pieces)
        self.bare = LazyArray(lambda token: f"<bdi>{self.inline[token]}</bdi>", size)
        self.bare_broken = LazyArray(lambda token: f"<bdi>{self.broken[token]}</bdi>", size)
        self.label = Lazy(lambda token: self._html(token, _label))
        self.visible = Lazy(lambda token: visible(self._piece(token)))
        self.real = Lazy(lambda token: real(self._piece(token)))

    def _piece(self, token: int) -> bytes:
        pieces = self.vocabulary.pieces
        return pieces[token] if 0 <= token < len(pieces) else f"token {token}".encode()

    def _html(self, token: int, render: Callable[[bytes], str]) -> str:
        html = render(self._piece(token))
        return f"<i>{html}</i>" if token in self.vocabulary.special else html

    def copyable(self, token: int) -> str:
        """The token's own text as a JSON string: ASCII only, so that nothing in it is lost."""
        return json.dumps(self.real[token])


class Typesets:
    """The typesets of all models, by the model's id in the store."""

    def __init__(self) -> None:
        self._made: dict[int, Typeset] = {}

    def of(self, model_id: int, vocabulary: Vocabulary) -> Typeset:
        """The model's typeset, made anew when the store hands out another vocabulary."""
        typeset = self._made.get(model_id)
        if typeset is None or typeset.vocabulary is not vocabulary:
            typeset = self._made[model_id] = Typeset(vocabulary)
        return typeset
