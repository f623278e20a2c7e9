"""What the scanner sees, on code and on English."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.rules import scanner


def _inside(text: str, bit: int) -> str:
    """The text with everything outside replaced by dots."""
    data = text.encode()
    states = scanner.scan(data, np.array([0, len(data)]))
    return "".join(
        char if states[len(text[:n].encode())] & bit else "." for n, char in enumerate(text)
    )


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ('x = "a b" + c', '...."a b"....'),
        ("x = 'a' 'b'", "....'a'.'b'"),
        ("f'a'", ".'a'"),
        ("rb'a'", "..'a'"),
        ('"a\\"b" c', '"a\\"b"..'),
        ('"""a\n"b\n""" c', '"""a\n"b\n"""..'),
        ('"never closed\nx', ".............." + "."),
        ("the dog's bone, it's his", "." * 24),
        ("don't say 'it's' so", "..........'it's'..."),
        ("He said “no way” then", "........“no way”....."),
        ("# it's", "......"),
        ('"# no comment"', '"# no comment"'),
    ],
)
def test_strings(text: str, strings: str) -> None:
    assert _inside(text, scanner.STRING) == strings


@pytest.mark.parametrize(
    ("text", "comments"),
    [
        ("x # why\ny", "..# why.."),
        ("a // b", "......"),
        ("x; // why\ny", "...// why.."),
        ("    // why", "....// why"),
        ("a /* b\nc */ d", "../* b\nc */.."),
        ("<!-- a -->b", "<!-- a -->."),
        ("#include <x>", "............"),
        ("x#y", "..."),
        ("see http://a.b/c", "................"),
    ],
)
def test_comments(text: str, comments: str) -> None:
    assert _inside(text, scanner.COMMENT) == comments


def test_addresses_numbers_and_tags() -> None:
    assert _inside("at https://a.b/c?d=1, x", scanner.URL) == "...https://a.b/c?d=1,.."
    assert _inside("3.14 + 0x1F - x1 1_000", scanner.NUMBER) == "3.14...0x1F......1_000"
    assert _inside("a <b class='c'>d</b> < e", scanner.TAG) == "..<b class='c'>.</b>...."


def test_brackets_are_closed_by_their_own_kind_and_by_blank_lines() -> None:
    assert _inside("a(b[c]d)e", scanner.PARENTHESES) == ".(b[c]d)."
    assert _inside("a(b[c]d)e", scanner.BRACKETS) == "...[c]..."
    assert _inside("a) b (c) d", scanner.PARENTHESES) == ".....(c).."
    assert _inside("((a)b)c", scanner.PARENTHESES) == "((a)b)."
    assert _inside("f(a\n\nb)c(d)", scanner.PARENTHESES) == "." + "(a\n" + "...." + "(d)"
    assert _inside("f(')')g", scanner.PARENTHESES) == ".(')')."


def test_lines() -> None:
    text = "a b\n  c d\n\n        e"
    assert _inside(text, scanner.LINE_START) == "a...  c...\n        e"
    assert _inside(text, scanner.INDENTED).strip(".\n") == "  c d\n" + ".        e"
    assert _inside(text, scanner.DEEP) == "." * 11 + "        e"


def test_nothing_goes_on_into_the_next_text() -> None:
    data = b'"""a (b'
    two = data + b"c) d"
    states = scanner.scan(two, np.array([0, len(data), len(two)]))
    alone = scanner.scan(b"c) d", np.array([0, 4]))
    assert states[len(data) :].tolist() == alone.tolist()


@pytest.mark.parametrize("unit", ["'a", "('a", '"', "\\", "<a", "/*", "“", "[(", "'\\", "0x", "#"])
def test_a_monotonous_text_is_scanned_in_one_go(unit: str) -> None:
    data = unit.encode() * 40_000
    assert len(scanner.scan(data, np.array([0, len(data)]))) == len(data)


def test_no_text() -> None:
    assert scanner.scan(b"", np.array([0, 0])).tolist() == []
    assert scanner.scan(b"", np.array([0])).tolist() == []
