"""Predicates: executed, said, stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_core.errors import RuleError
from sae_core.rules.attributes import NEIGHBOURS
from sae_core.rules.flags import FLAGS
from sae_core.rules.predicate import (
    Clause,
    FlagCondition,
    Predicate,
    TokenCondition,
    predicate_of_json,
)
from sae_core.rules.sentence import sentence
from tests.sae_core.rules import texts

TOKENS = st.lists(st.integers(0, texts.D_VOCAB + 3), min_size=1, max_size=6, unique=True)
CONDITIONS = st.one_of(
    st.builds(
        TokenCondition, st.sampled_from(NEIGHBOURS), TOKENS.map(lambda ids: tuple(sorted(ids)))
    ),
    st.builds(FlagCondition, st.sampled_from(FLAGS), st.booleans()),
)
CLAUSES = st.lists(CONDITIONS, max_size=3).map(lambda found: Clause(tuple(found)))
PREDICATES = st.lists(CLAUSES, max_size=3).map(lambda found: Predicate(tuple(found)))
TEXT = texts.random_text(5, 6, 60)


@given(PREDICATES)
def test_execution_is_what_the_definition_says(predicate: Predicate) -> None:
    plainly = texts.holds_plainly(predicate, TEXT.attributes)
    assert predicate.holds(TEXT.attributes).tolist() == plainly
    for half in (TEXT.learnt, TEXT.held_out):
        places = TEXT.predicate_places(predicate, half)
        inside = np.flatnonzero(plainly)
        inside = inside[(inside >= half.begin) & (inside < half.end)]
        assert sorted(places.tolist()) == inside.tolist()


@given(PREDICATES)
def test_json_says_the_same(predicate: Predicate) -> None:
    text = predicate.to_json()
    assert predicate_of_json(text) == predicate
    assert predicate_of_json(text).to_json() == text


@given(PREDICATES.filter(lambda p: p.clauses))
def test_every_predicate_is_one_sentence(predicate: Predicate) -> None:
    said = sentence(predicate, lambda token: f"t{token}")
    assert said.startswith("Fires ")
    assert "\n" not in said


def test_sentences() -> None:
    token = TokenCondition("token", (4, 5))
    after = TokenCondition("previous", (8,))
    inside = FlagCondition("place:parentheses")
    no_string = FlagCondition("place:string", False)
    digits = FlagCondition("token:digits")

    def said(*clauses: Clause) -> str:
        return sentence(Predicate(clauses), lambda t: texts.PIECES[t].decode().replace(" ", "␣"))

    assert said(Clause((after, token))) == "Fires on “␣self” or “self”, after “(”"
    assert said(Clause((inside, token))) == "Fires on “␣self” or “self”, inside parentheses"
    assert said(Clause((inside, no_string))) == (
        "Fires on any token, inside parentheses, not inside a string"
    )
    assert said(Clause((token,)), Clause((digits,))) == ("Fires on “␣self” or “self”; or on digits")
    assert said(Clause(())) == "Fires on every token"
    long = sentence(Predicate((Clause((token,)),)), lambda t: "x" * 99)
    assert long.count("x") == 2 * 23
    run = sentence(Predicate((Clause((token,)),)), lambda t: "⏎" + "␣" * t)
    assert run == "Fires on “⏎␣␣␣␣” or “⏎␣×5”"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "[[1]]",
        "[[{}]]",
        '[[{"token":[]}]]',
        '[[{"token":[-1]}]]',
        '[[{"token":[1.5]}]]',
        '[[{"token":[true]}]]',
        '[[{"place:nowhere":true}]]',
        '[[{"place:string":1}]]',
        '[[{"token":[1],"previous":[2]}]]',
        "[" * 3000,
        "[" + ",".join(["[]"] * 99) + "]",
        '[[{"token":[' + ",".join(map(str, range(99))) + "]}]]",
        " " * 200_000,
    ],
)
def test_other_json_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(RuleError, match="no predicate of a rule"):
        predicate_of_json(text)
