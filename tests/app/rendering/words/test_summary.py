"""A feature in one line."""

from __future__ import annotations

import numpy as np
import pytest

from app.rendering.tokens import Typeset
from app.rendering.words.summary import summary, white_space
from sae_core.harvest.records import Landing, Ranking
from sae_core.language_model.vocabulary import Vocabulary

PIECES = (
    b"<|endoftext|>",
    b"\n",
    b"    ",
    b"):",
    b' """',
    b" self",
    b"<b>",
    "\u202egnp".encode(),
    b"x" * 60,
    b"`",
)
END, NEWLINE, INDENT, CLOSE, QUOTES, SELF, BOLD, BIDI, LONG, TICK = range(10)
NONE = np.zeros(0, np.float32)


@pytest.fixture(scope="module")
def typeset() -> Typeset:
    return Typeset(Vocabulary(PIECES, frozenset({END}), END))


def ranking(**tokens: float) -> Ranking:
    ids = [globals()[name] for name in tokens]
    return Ranking(np.array(ids, np.int32), np.array([*tokens.values()], np.float32), NONE)


def landed(effect: float, **tokens: tuple[float, float]) -> Landing:
    ids = [globals()[name] for name in tokens]
    weights, shares = zip(*tokens.values(), strict=True) if tokens else ((), ())
    columns = (np.array(ids, np.int32), np.array(weights, np.float32), np.array(shares, np.float32))
    return Landing(effect, 20, Ranking(*columns))


NO_TOKEN = ranking()
MANY = ranking(SELF=0.2, CLOSE=0.1, QUOTES=0.05)


@pytest.mark.parametrize(
    ("on", "after", "landing", "line"),
    [
        (
            ranking(NEWLINE=0.55, INDENT=0.4),
            ranking(CLOSE=0.95),
            landed(0.86, QUOTES=(0.86, 1.0)),
            "fires on newline and 4 spaces after `):`; helps `␣\"\"\"` by 0.86 nats",
        ),
        (
            ranking(NEWLINE=0.49, INDENT=0.45),
            ranking(CLOSE=0.6, SELF=0.2),
            landed(0.4, QUOTES=(0.9, 0.3), SELF=(0.4, 0.3)),
            "fires on newline and 4 spaces, mostly after `):`; "
            "helps various tokens by 0.40 nats",
        ),
        (
            ranking(SELF=0.28, CLOSE=0.2, QUOTES=0.15),
            MANY,
            None,
            "fires mostly on `␣self`, `):` and `␣\"\"\"`",
        ),
        (
            MANY,
            NO_TOKEN,
            landed(0.001, SELF=(0.02, 0.05)),
            "fires on many tokens, most often `␣self` (20.0 %); helps no prediction by much",
        ),
        (
            ranking(SELF=1.0),
            NO_TOKEN,
            landed(0.05, SELF=(0.05, 1.0)),
            "fires on `␣self`; helps `␣self` by 0.050 nats",
        ),
        (ranking(LONG=1.0), NO_TOKEN, None, "fires on `xxxxxxxxxxxxxxxxxxxxxxx…`"),
        (ranking(BIDI=1.0), NO_TOKEN, None, "fires on `U+202Egnp`"),
    ],
)  # fmt: skip
def test_what_the_line_says(
    typeset: Typeset, on: Ranking, after: Ranking, landing: Landing | None, line: str
) -> None:
    assert summary(typeset, 10, 1000, (on, after), landing).text == line


def test_a_dead_feature_and_one_that_was_not_counted(typeset: Typeset) -> None:
    assert summary(typeset, 0, 1_048_576, (NO_TOKEN, NO_TOKEN), None).text == (
        "never fired in 1,048,576 tokens"
    )
    assert summary(typeset, 0, 0, (None, None), None).text == "never fired"
    unknown = summary(typeset, 5, 1000, (None, None), landed(0.5, SELF=(0.5, 1.0)))
    assert not unknown
    assert (unknown.text, unknown.html) == ("", "")


def test_tokens_are_inert_in_html(typeset: Typeset) -> None:
    html = summary(typeset, 5, 9, (ranking(BOLD=0.5, BIDI=0.45), ranking(NEWLINE=1.0)), None).html
    assert html == (
        'fires on <bdi class="tok">&lt;b&gt;</bdi> and <bdi class="tok"><i>U+202E</i>gnp</bdi> '
        "after <em>newline</em>"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (" ", "space"),
        ("    ", "4 spaces"),
        ("\n", "newline"),
        ("\n\n", "2 newlines"),
        ("\n    ", "newline + 4 spaces"),
        ("\r\n\t\t", "newline + 2 tabs"),
        ("\t \n", "tab + space + newline"),
        ("", ""),
        (" x", ""),
        ("\u00a0", ""),
    ],
)
def test_white_space_has_names(text: str, words: str) -> None:
    assert white_space(text) == words
