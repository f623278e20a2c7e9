"""What a language model is asked for a blind rating, and how its answer is read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.jobs.explain.endpoint import ChatReply, EndpointFailure, Prompt
from app.jobs.explain.excerpts import MARK
from app.jobs.explain.explainers import REFUSAL
from app.store.types.ratings import RUBRIC, RubricScores
from sae_core.harvest.blinding import BlindContext, BlindSheet
from sae_core.language_model.vocabulary import Vocabulary

VERSION = 1  # of the prompt; raised with each change, and stored with every rating
MOST_TOKENS = 300
LONGEST_INTERPRETATION = 1000  # characters
MARKED_SHARE = 0.5  # of the activation at a context's peak: from there on its tokens are marked

_TASK = (
    "You rate how well something inside a language model can be understood. It is a number that is "
    "computed at each token; it is mostly small. You are shown excerpts of text over its whole "
    "range, the strongest first. Between << and >> stand tokens on which it is as large as is "
    "said; the marks are not part of the text, and it may be large on other tokens, too. Then come "
    "the tokens that it makes more and less likely to come next. First decide what it means: the "
    "most specific description that holds for nearly all excerpts. Then rate:"
)
_FORM = (
    'Answer with one JSON object and nothing else: {"interpretation": "at most 25 words", '
    + ", ".join(f'"{criterion.key}": number' for criterion in RUBRIC)
    + "}"
)


def _criteria() -> Iterable[str]:
    for criterion in RUBRIC:
        levels = "; ".join(f"{n}: {words}" for n, words in enumerate(criterion.anchors))
        yield f"{criterion.key}, 0 to {criterion.highest}. {criterion.question} {levels}."


_SYSTEM = "\n".join((_TASK, *_criteria(), _FORM))


def rating_prompt(sheet: BlindSheet, vocabulary: Vocabulary) -> Prompt:
    """The question: what a person sees, in text."""
    parts = []
    for group in sheet.groups:
        if group.contexts:
            title = (
                "The strongest excerpts"
                if group.highest == 0
                else f"Excerpts at {group.low:.0%} to {group.high:.0%} of its maximum"
            )
            lines = [
                f"{number}. {_marked(context, vocabulary)!r}"
                for number, context in enumerate(group.contexts, start=1)
            ]
            parts.append("\n".join([f"{title}:", *lines]))
    for words, ranked in (("more", sheet.raised), ("less", sheet.lowered)):
        if ranked:
            tokens = " ".join(
                f"{_text(vocabulary, [token])!r} ({abs(share):.0%})" for token, share in ranked
            )
            parts.append(f"Tokens that it makes {words} likely, by share of the largest: {tokens}")
    return Prompt(_SYSTEM, "\n\n".join([*parts, _FORM]), most_tokens=MOST_TOKENS)


def rating_of(reply: ChatReply) -> tuple[RubricScores, str]:
    """The rating in an answer, and the interpretation.

    Raises:
        EndpointFailure: there is none; the sentence says what there is instead.
    """
    text = reply.text.strip()
    answer = _json_object(text)
    if answer is None:
        if REFUSAL.match(text):
            raise EndpointFailure(f"The model refused: {text[:120]}")
        cut = " It was cut off." if reply.cut else ""
        begins = f"begins {text[:80]!r}" if text else "is empty"
        raise EndpointFailure(f"The answer holds no JSON object with ratings, but {begins}.{cut}")
    answers = []
    for criterion in RUBRIC:
        value = answer.get(criterion.key)
        if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not 0 <= value <= criterion.highest:
            raise EndpointFailure(
                f"The answer's {criterion.key} is {value!r:.40}, not a number from 0 to "
                f"{criterion.highest}."
            )
        answers.append(value)
    said = answer.get("interpretation", "")
    said = " ".join(said.split()) if isinstance(said, str) else ""
    printable = "".join(char if char.isprintable() else "\ufffd" for char in said)
    return RubricScores(*answers), printable[:LONGEST_INTERPRETATION]


def _json_object(text: str) -> dict[str, object] | None:
    """The first JSON object in a text that names a criterion."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\{", text):
        try:
            value, _ = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and any(criterion.key in value for criterion in RUBRIC):
            return value
    return None


def _marked(context: BlindContext, vocabulary: Vocabulary) -> str:
    """A context as it reads, with runs of its strongest tokens between marks."""
    peak = int(context.bands[context.peak])
    strong: NDArray[np.bool_] = context.bands >= max(1.0, MARKED_SHARE * peak)
    out: list[bytes] = []
    tokens = context.tokens.tolist()
    for i, token in enumerate(tokens):
        if token in vocabulary.special:
            continue
        if strong[i] and not (i and strong[i - 1]):
            out.append(MARK[0].encode())
        out.append(vocabulary.pieces[token])
        if strong[i] and not (i + 1 < len(tokens) and strong[i + 1]):
            out.append(MARK[1].encode())
    return b"".join(out).decode("utf-8", "replace")


def _text(vocabulary: Vocabulary, tokens: Iterable[int]) -> str:
    return b"".join(vocabulary.pieces[token] for token in tokens).decode("utf-8", "replace")
