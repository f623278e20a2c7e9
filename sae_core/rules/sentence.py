"""A predicate as one sentence of plain English."""

from __future__ import annotations

import re
from collections.abc import Callable

from sae_core.rules.flags import CLASS_WORDS, FLAG_NUMBER, FOLLOWING, PLACE_WORDS, PLACES, PREVIOUS
from sae_core.rules.predicate import Clause, Condition, Predicate, TokenCondition

LONGEST_TOKEN = 24
_RUN = re.compile(r"(\W)\1{4,}")
_AFTER = {"token": "", "previous": "after ", "before": "two after ", "following": "before "}
_ORDER = {"token": 0, "before": 3, "previous": 4, "following": 5}


def sentence(predicate: Predicate, visible: Callable[[int], str]) -> str:
    """What the predicate says, such as: Fires on “␣self” or “cls”, after “(”.

    Args:
        predicate: with one clause or more.
        visible: how a token, by its id, is shown with nothing in it invisible.
    """
    return "Fires " + "; or ".join(_clause(clause, visible) for clause in predicate.clauses)


def _clause(clause: Clause, visible: Callable[[int], str]) -> str:
    ordered = sorted(clause.conditions, key=_rank)
    words = [_words(condition, visible) for condition in ordered]
    if not words:
        return "on every token"
    if not any(_rank(condition) < 2 for condition in ordered):
        words.insert(0, "on any token")
    return words[0] + "".join(f", {phrase}" for phrase in words[1:])


def _rank(condition: Condition) -> int:
    """Conditions on the token itself come first, then its neighbours, then its place."""
    if isinstance(condition, TokenCondition):
        return _ORDER[condition.where]
    number = FLAG_NUMBER[condition.flag]
    if number < PREVIOUS:
        return 1 if condition.wanted else 2
    return 6 + number // PREVIOUS


def _words(condition: Condition, visible: Callable[[int], str]) -> str:
    if isinstance(condition, TokenCondition):
        quoted = [f"“{_short(visible(token))}”" for token in condition.tokens]
        several = ", ".join(quoted[:-1]) + " or " if len(quoted) > 1 else ""
        return (_AFTER[condition.where] or "on ") + several + quoted[-1]
    number = FLAG_NUMBER[condition.flag]
    no = "" if condition.wanted else "not "
    if number < PREVIOUS:
        return f"{no}on {CLASS_WORDS[number]}"
    if number < FOLLOWING:
        return f"{no}after {CLASS_WORDS[number - PREVIOUS]}"
    if number < PLACES:
        return f"{no}before {CLASS_WORDS[number - FOLLOWING]}"
    return f"{no}{PLACE_WORDS[number - PLACES]}"


def _short(shown: str) -> str:
    """A token cut short: long runs of one sign counted, as pages do, and the rest left out."""
    shown = _RUN.sub(lambda run: f"{run[1]}×{len(run[0])}", shown)
    return shown if len(shown) <= LONGEST_TOKEN else shown[: LONGEST_TOKEN - 1] + "…"
