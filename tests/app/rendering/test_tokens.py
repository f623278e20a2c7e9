"""Tokens on a page: every character visible, none of it alive."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.rendering.tokens import (
    NEWLINE,
    RETURN,
    SPACE,
    TAB,
    Typeset,
    Typesets,
    printable,
    real,
    visible,
)
from app.settings import resource
from sae_core.language_model.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" self", "␣self"),
        (b"\n", "⏎"),
        (b"\t\r\n", "⇥␍⏎"),
        (b"", "∅"),
        (b"\x00\x1b\x7f", "␀␛␡"),
        (b"\xe2", "\\xe2"),
        (b"\xe2\x82", "\\xe2\\x82"),
        (b"a\xffb", "a\\xffb"),
        ("\ud800".encode("utf-8", "surrogatepass"), "\\xed\\xa0\\x80"),
        ("\u202egnp".encode(), "U+202Egnp"),
        ("\u200b\ufeff\u00ad".encode(), "U+200BU+FEFFU+00AD"),
        ("\u0085\u00a0\u2028".encode(), "U+0085U+00A0U+2028"),
        ("\ue000".encode(), "U+E000"),
        ("\u0301".encode(), "◌\u0301"),
        ("e\u0301".encode(), "e\u0301"),
        ("\ufe0f\u3164".encode(), "U+FE0FU+3164"),
        ("é世🙂".encode(), "é世🙂"),
        (b"<script>", "<script>"),
    ],
)
def test_everything_in_a_token_is_visible(piece: bytes, shown: str) -> None:
    assert visible(piece) == shown


@pytest.mark.parametrize(
    ("piece", "text"),
    [
        (b" self\n", " self\n"),
        (b"\x00", "\x00"),
        ("\u202e".encode(), "\u202e"),
        (b"\xe2\x82", "\\xe2\\x82"),
    ],
)
def test_the_copy_of_a_token_is_the_token(piece: bytes, text: str) -> None:
    assert real(piece) == text


def vocabulary(*pieces: bytes) -> Vocabulary:
    return Vocabulary(pieces=(b"<|end|>", *pieces), special=frozenset({0}), bos=0)


def test_html_is_escaped_and_marks_are_set_apart() -> None:
    typeset = Typeset(vocabulary(b'<b onclick="x">&', b" a\tb", b"\n\n", b"\x00"))
    assert typeset.inline[1] == "&lt;b onclick=&quot;x&quot;&gt;&amp;"
    assert typeset.inline[2] == " a<i>⇥</i>b"
    assert typeset.label[2] == "<i>␣</i>a<i>⇥</i>b"
    assert typeset.inline[3] == "<i class=w><i>⏎</i><i>⏎</i></i>"
    assert typeset.broken[3] == "<i class=h><i>⏎</i>\n<i>⏎</i>\n</i>"
    assert typeset.bare[np.array([4, 4])] == ["<bdi><i>␀</i></bdi>"] * 2
    assert typeset.inline[0] == "<i>&lt;|end|&gt;</i>"
    assert typeset.bare[np.array([2, 4])] == [f"<bdi>{typeset.inline[i]}</bdi>" for i in (2, 4)]
    assert typeset.bare_broken[np.array([3])] == [f"<bdi>{typeset.broken[3]}</bdi>"]


def test_long_runs_in_a_label_are_counted() -> None:
    typeset = Typeset(vocabulary(b" " * 11, b"#" * 64 + b"<", b"    "))
    assert typeset.label[1] == "<i>␣</i><i>×11</i>"
    assert typeset.label[2] == "#<i>×64</i>&lt;"
    assert typeset.label[3] == "<i>␣␣␣␣</i>"


def test_the_copyable_form_is_ascii_json() -> None:
    typeset = Typeset(vocabulary("\u202e\x00é".encode()))
    assert typeset.copyable(1).isascii()
    assert json.loads(typeset.copyable(1)) == "\u202e\x00é"


def test_an_id_outside_the_vocabulary_is_named() -> None:
    typeset = Typeset(vocabulary())
    assert typeset.inline[77] == "token 77"
    assert typeset.visible[-1] == "token␣-1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b.py", "a b.py"),
        ("a\nb", "a⏎b"),
        ("bad \udcff name", "bad \\xff name"),
        ("lone \ud800", "lone \\xed\\xa0\\x80"),
        ("␣", "␣"),
        ("", ""),
    ],
)
def test_foreign_text_is_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_a_typeset_is_made_once_and_again_for_another_vocabulary() -> None:
    typesets, first, second = Typesets(), vocabulary(b"a"), vocabulary(b"b")
    assert typesets.of(1, first) is typesets.of(1, first)
    assert typesets.of(1, second).inline[1] == "b"


def test_scripts_use_the_same_signs() -> None:
    script = (resource("static") / "js" / "marks.js").read_text()
    for character, sign in ((" ", SPACE), (r"\n", NEWLINE), (r"\t", TAB), (r"\r", RETURN)):
        assert f'"{character}": "{sign}"' in script
