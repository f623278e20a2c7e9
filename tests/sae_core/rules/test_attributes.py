"""Neighbours and flags, against a plain walk over the tokens."""

from __future__ import annotations

import numpy as np
import pytest

from sae_core.rules.attributes import text_attributes, window_attributes
from sae_core.rules.flags import FLAG_NUMBER, FLAGS, bit_counts
from tests.sae_core.rules import texts


def _flags_of(flags: int) -> set[str]:
    return {name for name, number in FLAG_NUMBER.items() if flags >> number & 1}


def test_neighbours_are_those_of_the_window() -> None:
    windows = texts.random_windows(0, 9)
    numbers = np.random.default_rng(1).permutation(len(windows)).astype(np.int64)
    attributes, places = window_attributes(windows, numbers, texts.vocabulary())
    tokens, mask = windows.gather(numbers)
    none = texts.D_VOCAB
    for row, column in zip(*np.nonzero(mask), strict=True):
        at = places[row, column]
        around = [
            int(tokens[row, c]) if 0 < c < windows.n_ctx and mask[row, c] else none
            for c in (column, column - 1, column - 2, column + 1)
            for c in [int(c)]
        ]
        assert attributes.neighbours[:, at].tolist() == around
    assert sorted(places[places >= 0].tolist()) == list(range(len(attributes)))
    assert (places >= 0).tolist() == mask.tolist()
    assert attributes.documents.tolist() == sorted(attributes.documents.tolist())


@pytest.mark.parametrize("bos", [0, None])
def test_a_window_that_is_a_whole_document_reads_as_the_text_alone(bos: int | None) -> None:
    windows = texts.random_windows(2, 12, longest=30, n_ctx=32, bos=bos)
    numbers = np.arange(len(windows), dtype=np.int64)
    attributes, places = window_attributes(windows, numbers, texts.vocabulary())
    tokens, mask = windows.gather(numbers)
    for row in range(len(windows)):
        alone = text_attributes(tokens[row][mask[row]], texts.vocabulary())
        at = places[row][places[row] >= 0]
        assert alone.neighbours.tolist() == attributes.neighbours[:, at].tolist()
        assert alone.flags.tolist() == attributes.flags[at].tolist()


def test_states_are_read_from_the_document() -> None:
    piece = {p: n for n, p in enumerate(texts.PIECES)}
    document = np.array([piece[b'"']] + [piece[b" dog"]] * 9 + [piece[b'"'], piece[b" a"]])
    windows = texts.Windows(texts.corpus([document]), 5, None)
    attributes, places = window_attributes(windows, np.array([1]), texts.vocabulary())
    string = FLAG_NUMBER["place:string"]
    assert [(int(attributes.flags[at]) >> string) & 1 for at in places[0]] == [1] * 5


def test_flags_say_what_a_token_is() -> None:
    piece = {p: n for n, p in enumerate(texts.PIECES)}
    words = [b" The", b" dog", b"'s", b" DOG", b"(", b"42", b")", b"\n    ", b"_", b"init", b"? "]
    attributes = text_attributes(np.array([piece[w] for w in words]), texts.vocabulary())
    flags = [_flags_of(int(f)) for f in attributes.flags]
    assert flags[0] >= {"token:capitalised", "token:spaced", "place:first", "place:word-start"}
    assert flags[1] >= {"token:lower", "previous:capitalised", "following:quote"}
    assert "token:quote" in flags[2]
    assert "token:capitals" in flags[3]
    assert "token:lower" not in flags[3]
    assert flags[4] >= {"token:opening", "token:punctuation", "place:parentheses"}
    assert flags[5] >= {"token:digits", "place:number", "place:parentheses", "previous:opening"}
    assert flags[7] >= {"token:blank", "token:newline"}
    assert flags[8] >= {
        "token:underscore",
        "place:word-start",
        "place:indented",
        "place:line-start",
    }
    assert flags[9] >= {"place:word-inside"} or flags[9] >= {"place:word-end"}
    assert "token:stop" in flags[10]
    assert "place:early" in flags[7]
    assert "place:early" not in flags[8]


def test_special_tokens_are_no_text() -> None:
    attributes = text_attributes(np.array([0, 4, 0, 5]), texts.vocabulary())
    assert attributes.neighbours[0].tolist() == [4, 5]
    assert attributes.neighbours[1].tolist() == [texts.D_VOCAB] * 2


def test_no_tokens() -> None:
    attributes = text_attributes(np.zeros(0, np.int64), texts.vocabulary())
    assert len(attributes) == 0
    assert attributes.document_starts.tolist() == [0]


def test_bits_are_counted() -> None:
    random = np.random.default_rng(3)
    flags = random.integers(0, 1 << 63, 501, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    counts = [sum((int(f) >> n) & 1 for f in flags) for n in range(len(FLAGS))]
    assert bit_counts(flags).tolist() == counts
    assert bit_counts(flags[:0]).tolist() == [0] * len(FLAGS)
