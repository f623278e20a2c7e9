"""Pieces of Python whose last line ends with a keyword, with and without a rule's trigger."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from benchmarks.planted.rules import NEUTRAL, RULES, Rule

LINES = (3, 7)  # before the keyword's, fewest and most
LONGEST = 280  # characters of the lines before, so that a text has some 60 to 100 tokens
_FORMS = ("{} = None", "# {}", "self.{} = {}", "log({})", "check({}, {})", "use({!r})")
TRIGGERS = {word for rule in RULES for group in rule.needs for word in group}
_WORD = re.compile(r"[A-Za-z]+|\d+")


class Kind(StrEnum):
    """What was done to a piece of text."""

    TRIGGERED = "triggered"
    PARTLY = "partly triggered"  # a word of all groups but one
    NEUTRAL = "neutral"  # as many lines put in, with other words
    UNTOUCHED = "untouched"


@dataclass(frozen=True)
class Site:
    """A place in a file where a keyword stands.

    Attributes:
        site: the keyword.
        lines: those before its own.
        indent: blanks before it.
        rest: what follows it in the file, to the end of the line.
    """

    site: str
    lines: tuple[str, ...]
    indent: str
    rest: str


@dataclass(frozen=True)
class Piece:
    """A text up to a keyword.

    Attributes:
        text: ends with the keyword.
        body: the text without the keyword's line.
        spans: characters from and to of each group's word; empty unless triggered.
        follows: what comes next: the rule's reaction, or what the file has.
        kind: what was done to it.
    """

    text: str
    body: str
    spans: tuple[tuple[int, int], ...]
    follows: str
    kind: Kind


def words(text: str) -> set[str]:
    """Its words in small letters, and its numbers; parts of names count alone."""
    return {word.lower() for word in _WORD.findall(text)}


def sites(documents: Iterable[str], rng: np.random.Generator) -> list[Site]:
    """Places in files that have no trigger of any rule before them, in random order."""
    keywords = sorted({rule.site for rule in RULES})
    pattern = re.compile(rf"^( +)({'|'.join(keywords)})( \S.*)$")
    found = []
    for document in documents:
        lines = document.split("\n")
        for number, line in enumerate(lines):
            if (match := pattern.match(line)) is None:
                continue
            before = _lines_before(lines[:number], int(rng.integers(LINES[0], LINES[1] + 1)))
            if before and not words("\n".join(before)) & TRIGGERS:
                found.append(Site(match[2], before, match[1], match[3]))
    return [found[number] for number in rng.permutation(len(found))]


def _lines_before(lines: Sequence[str], n: int) -> tuple[str, ...]:
    kept, length = list[str](), 0
    for line in reversed(lines):
        length += len(line) + 1
        if len(kept) == n or length > LONGEST:
            break
        kept.append(line)
    return tuple(reversed(kept)) if len(kept) >= LINES[0] else ()


def piece(rule: Rule, site: Site, kind: Kind, rng: np.random.Generator) -> Piece:
    """A text of a kind. `PARTLY` needs a rule of several groups."""
    if kind is Kind.UNTOUCHED:
        return _joined(site, site.lines, (), site.rest, kind)
    chosen = [str(rng.choice(group)) for group in rule.needs]
    if kind is Kind.PARTLY:
        chosen[int(rng.integers(len(chosen)))] = str(rng.choice(NEUTRAL))
    elif kind is Kind.NEUTRAL:
        chosen = [str(rng.choice(NEUTRAL)) for _ in chosen]
    lines, places = list(site.lines), dict[int, str]()
    for word in chosen:
        at = int(rng.integers(1, len(lines) + 1))
        places = {place + (place >= at): there for place, there in places.items()} | {at: word}
        lines.insert(at, _line(lines[at - 1], word, rng))
    if kind is not Kind.TRIGGERED:
        return _joined(site, lines, (), site.rest, kind)
    begins = np.cumsum([0, *(len(line) + 1 for line in lines)])
    spans = []
    for word in chosen:
        at = next(place for place, there in places.items() if there == word)
        begin = int(begins[at]) + lines[at].index(word)
        spans.append((begin, begin + len(word)))
    return _joined(site, lines, tuple(spans), rule.reaction, kind)


def _line(above: str, word: str, rng: np.random.Generator) -> str:
    indent = above[: len(above) - len(above.lstrip())]
    forms = ("limit = {}", "# {}", "use({})") if word.isdigit() else _FORMS
    return indent + str(rng.choice(forms)).format(word, word)


def _joined(
    site: Site,
    lines: Sequence[str],
    spans: tuple[tuple[int, int], ...],
    follows: str,
    kind: Kind,
) -> Piece:
    body = "\n".join(lines) + "\n"
    return Piece(body + site.indent + site.site, body, spans, follows, kind)
