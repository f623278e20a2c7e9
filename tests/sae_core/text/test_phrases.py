"""Where phrases stand, against trying every place, and by the rules of the module's head."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.text.phrases import PhraseIndex

PIECES = (
    *(b"isinstance", b"(", b"self", b",", b" int", b")", b"\n", b"    ", b" except", b"except"),
    *(b" ValueError", b":\n", b"myself", b" x", b"aa", b"a", "é".encode(), b"b "),
)


def text_of(*pieces: bytes, runs: tuple[int, ...] = (0,)) -> PhraseIndex:
    tokens = np.array([PIECES.index(piece) for piece in pieces], dtype=np.uint16)
    return PhraseIndex(tokens, PIECES, np.array(runs))


def places(index: PhraseIndex, *spellings: bytes) -> list[tuple[int, int]]:
    there = index.find(spellings)
    return list(zip(there.first.tolist(), there.last.tolist(), strict=True))


CODE = text_of(
    *(b"isinstance", b"(", b"self", b",", b" int", b")", b"\n", b"    ", b" x", b"myself"),
    *(b" except", b" ValueError", b":\n", b"except", b" ValueError", b"aa", b"a"),
)


@pytest.mark.parametrize(
    ("phrase", "found"),
    [
        (b"isinstance(self, ", [(0, 3)]),  # the last blank belongs to ` int`
        (b"isinstance(self, int", [(0, 4)]),
        (b"self", [(2, 2)]),  # and not within `myself`
        (b"except ValueError", [(10, 11), (13, 14)]),
        (b" except ValueError", [(10, 11)]),
        (b"ValueError:", [(11, 12)]),  # before the line feed of its token
        (b"ValueError:\n", [(11, 12)]),
        (b"    ", [(7, 7)]),
        (b"  ", []),  # white space alone must be whole tokens
        (b"\n     x", [(6, 8)]),
        (b" x", [(8, 8)]),
        (b"x", [(8, 8)]),
        (b"elf", []),
        (b"", []),
        (b"nowhere", []),
        (b"a", [(16, 16)]),
        (b"aa", [(15, 15)]),
    ],
)
def test_rules(phrase: bytes, found: list[tuple[int, int]]) -> None:
    assert places(CODE, phrase) == found
    assert CODE.says(phrase) == bool(found)


def test_several_spellings_are_one_phrase() -> None:
    assert places(CODE, b"self", b"", b":\n", b"self") == [(2, 2), (12, 12)]


def test_a_phrase_behind_many_places_that_are_none_is_seen() -> None:
    index = text_of(*[b"myself"] * 1200, b"self")
    assert index.says(b"self")
    assert not index.says(b"elf")
    assert index.holds(b"elf")


def test_no_phrase_reaches_over_an_edge_whose_neighbour_is_missing() -> None:
    pair = (b"except", b" ValueError")
    assert places(text_of(*pair, *pair, runs=(0, 1, 2)), b"except ValueError") == [(2, 3)]


def test_readings_are_counted() -> None:
    index = text_of(b"except", b" except", b" x", b"except")
    readings = index.readings(index.find([b"except"]))
    assert readings == [((PIECES.index(b"except"),), 2), ((PIECES.index(b" except"),), 1)]


def test_every_run_of_whole_tokens_is_found_wherever_it_stands() -> None:
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, len(PIECES), 400)
    index = PhraseIndex(tokens.astype(np.uint16), PIECES, np.array([0, 100, 250]))
    run = np.searchsorted([0, 100, 250], np.arange(400), side="right")
    for _ in range(60):
        length = int(rng.integers(1, 4))
        start = int(rng.integers(0, 400 - length))
        if run[start] != run[start + length - 1]:
            continue
        phrase = b"".join(PIECES[token] for token in tokens[start : start + length])
        expected = {
            (n, n + length - 1)
            for n in range(401 - length)
            if (tokens[n : n + length] == tokens[start : start + length]).all()
            and run[n] == run[n + length - 1]
        }
        found = set(places(index, phrase))
        assert expected <= found
        for first, last in found - expected:  # the same, cut or spaced otherwise
            text = b"".join(PIECES[token] for token in tokens[first : last + 1])
            assert text.strip() == phrase.strip()
