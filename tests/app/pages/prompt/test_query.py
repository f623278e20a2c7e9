"""The address of the prompt page, read and written."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.pages.prompt.query import (
    LONGEST_TEXT,
    MOST_TOGETHER,
    SORTS,
    FeatureName,
    PromptQuery,
    check_text,
    check_typed,
    parse,
)

names = st.builds(FeatureName, st.text(min_size=1, max_size=9), st.integers(0, 10**8))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(
    lambda text: text.replace("\r\n", "\n")
)
queries = st.builds(
    PromptQuery,
    text=st.none() | texts,
    other=texts,
    dictionaries=st.lists(texts.filter(bool), unique=True, max_size=3).map(tuple),
    sort=st.sampled_from(SORTS),
    token=st.none() | st.integers(0, 10**8),
    feature=st.none() | names,
    target=st.none() | st.integers(0, 10**8),
    instead=texts,
    together=st.lists(names, unique=True, max_size=4).map(tuple),
    why=st.sampled_from(["", "out", "replaced"]),
    neutral=texts,
    everything=st.booleans(),
    exact=st.booleans(),
)


@given(queries)
def test_an_address_restores_its_query(query: PromptQuery) -> None:
    pairs = parse_qsl(query.encoded, keep_blank_values=True)
    assert parse(pairs) == (query, None)


def test_defaults_are_left_out_and_names_are_quoted() -> None:
    assert PromptQuery().address("a/b") == "/m/a%2Fb/prompt"
    query = PromptQuery(text="x&y ", feature=FeatureName("mlp:1", 3))
    assert query.address("demo") == "/m/demo/prompt?text=x%26y+&feature=mlp:1:3"
    assert query.without("feature") == [("text", "x&y ")]
    assert PromptQuery(text="").encoded == "text="


def test_a_target_that_is_no_position_is_the_token_after_the_prompt() -> None:
    assert parse([("text", "a"), ("target", " self")])[0] == PromptQuery(text="a", instead=" self")
    assert parse([("target", "5")])[0] == PromptQuery(target=5)
    both = parse([("target", "5"), ("instead", "7")])[0]
    assert (both.target, both.instead) == (5, "7")


def test_line_breaks_of_forms_are_those_that_were_typed() -> None:
    query, _ = parse([("text", "a\r\nb\rc"), ("other", "\r\n")])
    assert (query.text, query.other) == ("a\nb\rc", "\n")


def test_the_last_of_a_name_counts() -> None:
    assert parse([("token", "3"), ("token", "4"), ("d", "a"), ("d", "b"), ("d", "a")])[0] == (
        PromptQuery(token=4, dictionaries=("a", "b"))
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("token", "-1", "token cannot be '-1'"),
        ("token", "٣", "position"),
        ("token", "9" * 40, "position"),
        ("sort", "beauty", "activation, share, rarity, effect"),
        ("why", "because", "out, replaced"),
        ("feature", "12", "dictionary:index"),
        ("feature", "mlp:", "dictionary:index"),
        ("feature", "mlp:-1", "dictionary:index"),
        ("a", ":5", "dictionary:index"),
        ("a", "x" * 500, "…"),
    ],
)
def test_what_cannot_be_used_is_said_and_the_rest_is_kept(
    name: str, value: str, words: str
) -> None:
    query, problem = parse([("text", "kept"), (name, value)])
    assert query == PromptQuery(text="kept")
    assert problem is not None
    assert words in str(problem)
    assert len(str(problem)) < 250


def test_sets_are_bounded() -> None:
    query, problem = parse([("a", f"m:{n}") for n in range(MOST_TOGETHER + 1)])
    assert len(query.together) == MOST_TOGETHER
    assert str(MOST_TOGETHER + 1) in str(problem)


@pytest.mark.parametrize("text", ["a", " ", "\n", "🙂", "مرحبا", "x" * LONGEST_TEXT])
def test_texts_that_are_prompts(text: str) -> None:
    check_typed(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("x" * 100_000, "100,000 characters; at most 20,000"),
        ("ab\0c", "Character 3 of the prompt is NUL"),
    ],
)
def test_texts_that_are_none(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_typed(text)


def test_a_program_may_send_what_no_field_can_hold() -> None:
    check_text("\0")
