"""What a language model is asked for a label, and how its answer is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.jobs.explain.endpoint import ChatReply, EndpointFailure, Prompt
from app.jobs.explain.excerpts import Excerpt

VERSION = 2  # of all prompts here; raised with each change, and stored with what they gave
LONGEST_LABEL = 300  # characters
MARKED_SHARE = 0.3  # of an excerpt's maximum: from there on its tokens are marked
REFUSAL = re.compile(r"(i'?m sorry|i can(no|')t|i am unable|as an ai)\b", re.IGNORECASE)

_SYSTEM = (
    "You study a feature inside a language model. The feature is a number that is computed at each "
    "token; it is mostly 0. You are shown excerpts of text in which it is larger than 0, the "
    "strongest first; the tokens on which it is large stand between << and >>. The marks are not "
    "part of the text. Say what the marked tokens, or what comes before them, have in common: the "
    "most specific description that holds for nearly all excerpts. Do not describe single "
    "excerpts. Answer with one line of at most 25 words that begins with LABEL:"
)

_WANTED = (
    "What do the marked tokens, or what comes before them, have in common? Answer with one line "
    "that begins with LABEL:"
)

_EXAMPLES = (
    (
        "Excerpts in which it fires:\n1. 'a letter<< from>> home'\n2. 'two miles<< from>> the'"
        "\n3. 'kept it<< from>> them'\nTokens that it makes more likely to come next: ' the' ' a'"
        f"\n\n{_WANTED}",
        "LABEL: the word from",
    ),
    (
        "Excerpts in which it fires:\n1. 'built in<< 18>><<54>> by monks'\n2. 'until<< 19>><<01>>, "
        f"when'\n3. 'since<< 20>><<10>> it has'\n\n{_WANTED}",
        "LABEL: years written in digits",
    ),
)


class ExplainerKind(StrEnum):
    """The ways of asking."""

    MAXIMA = "maxima"
    """Excerpts over the whole range of activation, and the tokens that the feature raises."""
    CONTRAST = "contrast"
    """The same, and excerpts in which features with similar directions fire, but not this one."""


@dataclass(frozen=True)
class Evidence:
    """What an explainer sees of a feature; nothing of it is used for scores.

    Attributes:
        firing: excerpts over the whole range of activation, strongest first.
        silent: excerpts in which similar features fire and this one does not.
        raised: the tokens whose logits it raises most.
        lowered: those it lowers most.
    """

    firing: Sequence[Excerpt]
    silent: Sequence[Excerpt]
    raised: Sequence[str]
    lowered: Sequence[str]


def _from_maxima(evidence: Evidence) -> str:
    parts = [_numbered("Excerpts in which it fires", evidence.firing, marked=True)]
    for words, tokens in (("more", evidence.raised), ("less", evidence.lowered)):
        if tokens:
            shown = " ".join(repr(token) for token in tokens)
            parts.append(f"Tokens that it makes {words} likely to come next: {shown}")
    return "\n\n".join(parts)


def _contrastive(evidence: Evidence) -> str:
    silent = _numbered(
        "Similar excerpts in which it does NOT fire; the label must not hold for these",
        evidence.silent,
        marked=False,
    )
    return f"{_from_maxima(evidence)}\n\n{silent}"


_CASES: dict[ExplainerKind, Callable[[Evidence], str]] = {
    ExplainerKind.MAXIMA: _from_maxima,
    ExplainerKind.CONTRAST: _contrastive,
}


def explainer_prompt(kind: ExplainerKind, evidence: Evidence) -> Prompt:
    """The question for a label; what is wanted stands at the end again, where small models look."""
    case = f"{_CASES[kind](evidence)}\n\n{_WANTED}"
    return Prompt(_SYSTEM, case, most_tokens=120, examples=_EXAMPLES)


def label_of(reply: ChatReply) -> str:
    """The label in an answer: what follows LABEL:, or the only line.

    Raises:
        EndpointFailure: there is none; the sentence says what there is instead.
    """
    text = reply.text.strip()
    found = re.search(r"LABEL:[ \t*]*(\S.*)", text, re.IGNORECASE)
    label = (found[1] if found else text).strip().strip("*").strip().strip('"').strip()
    if not label:
        raise EndpointFailure("The model answered nothing.")
    if REFUSAL.match(label):
        raise EndpointFailure(f"The model refused: {label[:120]}")
    if not found and "\n" in label:
        raise EndpointFailure(f"The answer has no line with LABEL:, but begins {label[:80]!r}.")
    if len(label) > LONGEST_LABEL:
        raise EndpointFailure(f"The label has {len(label)} characters; {LONGEST_LABEL} are taken.")
    label = " ".join(label.split())
    if not label.isprintable():
        raise EndpointFailure("The label holds characters that cannot be seen.")
    return label


def _numbered(title: str, excerpts: Sequence[Excerpt], marked: bool) -> str:
    lines = []
    for number, excerpt in enumerate(excerpts, start=1):
        text = (
            excerpt.marked(excerpt.values >= MARKED_SHARE * excerpt.maximum)
            if marked
            else excerpt.text
        )
        lines.append(f"{number}. {text!r}")
    return "\n".join([f"{title}:", *lines])
