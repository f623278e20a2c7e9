"""Tokens that are named by what they say."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest
from app.pages.prompt.view.panels import token_value
from app.rendering.tokens import Typeset
from app.web.search.named_tokens import find_token, neutral_token, token_of
from sae_core.language_model.vocabulary import Vocabulary
from tests import factories


def vocabulary(*pieces: bytes, special: frozenset[int] = frozenset()) -> Vocabulary:
    return Vocabulary(pieces, special, None)


def test_a_token_is_found_as_it_is_typed_or_after_a_space() -> None:
    known = vocabulary(b"self", b" self", b" host", b"\n", "é".encode())
    assert find_token(known, "self") == 0
    assert find_token(known, " self") == 1
    assert find_token(known, "host") == 2
    assert find_token(known, "\n") == 3
    assert find_token(known, "é") == 4


def test_a_real_token_goes_before_a_byte_and_a_special_one() -> None:
    known = vocabulary(b"</s>", b"a", b"b", b"a", b"</s>", special=frozenset({4}))
    assert find_token(known, "a") == 3
    assert find_token(known, "</s>") == 0
    assert find_token(vocabulary(b"</s>", special=frozenset({0})), "</s>") == 0


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "No token was typed"),
        ("selfless", "“selfless” is not one token of this model; its beginning “self” is one."),
        ("hostile", "beginning “host”"),
        ("zzz", "“zzz” is not one token of this model."),
        ("\u202e", "U+202E"),
        ("x" * 9000, "x" * 60 + "”"),
    ],
)
def test_what_no_token_says_is_explained(typed: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as found:
        find_token(vocabulary(b"self", b" host", b" "), typed)
    assert words in str(found.value)
    assert len(str(found.value)) < 200


def test_tokens_by_number() -> None:
    known = vocabulary(b"a", b"b")
    assert find_token(known, "id:1") == 1
    assert token_of(known, 1) == 1
    assert token_of(known, "b") == 1
    with pytest.raises(InvalidRequest, match="There is no token 2: the vocabulary has 2"):
        token_of(known, 2)
    with pytest.raises(InvalidRequest, match="not one token"):
        find_token(known, "id:2")
    assert find_token(vocabulary(b"id:1", b"b"), "id:1") == 0


def test_every_token_has_a_value_that_finds_it_again() -> None:
    typeset = Typeset(factories.vocabulary())
    for token, piece in enumerate(factories.PIECES):
        value = token_value(typeset, token)
        assert find_token(typeset.vocabulary, value) == token
        if b"\0" in piece or b"\r" in piece:
            assert value == f"id:{token}", "a form would change it"


def test_the_neutral_token() -> None:
    assert neutral_token(vocabulary(b"a", b"\n", b" ")) == 2
    assert neutral_token(vocabulary(b"a", b"\n")) == 1
    assert neutral_token(vocabulary(b"a")) is None
