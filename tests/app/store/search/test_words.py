"""Text as words: code stays whole, and nothing that can be typed is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.store.search.words import WordQuery, words_of


def test_code_is_words_and_signs() -> None:
    assert [word.folded for word in words_of("def __init__(Self):\t№ 5")] == [
        *("def", "_", "_", "init", "_", "_", "(", "self", ")", ":", "no", "5")
    ]


@pytest.mark.parametrize(
    ("typed", "text", "shown"),
    [
        ("self.", "reads self.host", "self."),
        ("__init__", "def __init__(self)", "__init__"),
        ("init", "def __init__(self)", "init"),
        ("HOST", "reads self.host", "host"),
        ("weak", "WeakRef objects", "Weak"),
        ("é", "un cafe\u0301 é", "é"),
        ("):", "if (x):", "):"),
    ],
)
def test_what_is_typed_is_shown_where_it_stands(typed: str, text: str, shown: str) -> None:
    fit = WordQuery.of(typed).fit(text)
    assert fit is not None
    [(start, end)] = fit.spans
    assert text[start:end] == shown


@pytest.mark.parametrize(
    ("typed", "text"),
    [("self.", "self is not"), ("elf", "self"), ("a", "abc"), ("x self", "self"), ("a b", "ab")],
)
def test_what_does_not_fit(typed: str, text: str) -> None:
    assert WordQuery.of(typed).fit(text) is None


def test_the_best_text_is_just_what_was_typed_then_whole_words_then_early_ones() -> None:
    query = WordQuery.of("self host")
    texts = ["self host", "self host attribute", "the self host", "self hosting"]
    shuffled = [texts[n] for n in (2, 0, 3, 1)]
    assert sorted(shuffled, key=lambda text: query.fit(text).rank) == texts


def test_a_text_that_is_too_long_is_a_sentence() -> None:
    with pytest.raises(InvalidRequest, match=r"at most 400 characters; this one has 10,000\."):
        WordQuery.of("x" * 10_000)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_cut_and_compared(typed: str, text: str) -> None:
    query = WordQuery.of(typed)
    fit = query.fit(text)
    for start, end in fit.spans if fit else ():
        assert 0 <= start < end <= len(text)
    words = words_of(text)
    assert all(not any(c.isspace() or not c.isprintable() for c in w.folded) for w in words)
    if query.terms and len({w for t in query.terms for w in t.words}) < 100:
        assert query.fit(typed)
