"""A feature in one line, from figures alone: what it fires on, after what, what it helps.

Nothing here is a label: no meaning is guessed. A share of at least nine tenths is stated, one of at
least half is stated as *mostly*; below that no token, or group of up to three, stands for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from app.rendering.markup import trusted
from app.rendering.numbers import count, percent
from app.rendering.tokens import Typeset
from app.store.types.catalogue import FeatureRow, FeatureView
from sae_core.harvest.records import Landing, Ranking

NEARLY_ALL, HALF = 0.9, 0.5
MOST_NAMED = 3
LEAST_NAMED = 0.1  # of a group: a rarer token is not worth a name
LEAST_EFFECT = 0.005  # nats: the thinnest underline
MOST_CHARACTERS = 24
_RUNS = re.compile(r"\r?\n|[ \t\r]")
_NAMES = {"\n": "newline", "\r\n": "newline", " ": "space", "\t": "tab", "\r": "carriage return"}


@dataclass(frozen=True)
class Sentence:
    """A line of words and tokens.

    Attributes:
        parts: plain words as they are, and ids of tokens between them.
        typeset: how the tokens look.
    """

    parts: tuple[str | int, ...]
    typeset: Typeset

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def text(self) -> str:
        """In plain text: tokens in backquotes with nothing invisible in them, blanks in words."""
        return "".join(
            part if isinstance(part, str) else _plain(part, self.typeset) for part in self.parts
        )

    @property
    def html(self) -> Markup:
        """For a page: tokens as they look everywhere, blanks in words."""
        return trusted("".join(self._html(part) for part in self.parts))

    def _html(self, part: str | int) -> str:
        if isinstance(part, str):
            return escape(part)
        if words := white_space(self.typeset.real[part]):
            return f"<em>{escape(words)}</em>"
        return f'<bdi class="tok">{self.typeset.label[part]}</bdi>'


def white_space(text: str) -> str:
    """White space in words, such as `newline + 4 spaces`; empty for anything else."""
    if not text or _RUNS.sub("", text):
        return ""
    words: list[tuple[str, int]] = []
    for run in _RUNS.findall(text):
        name, times = _NAMES[run], 1
        if words and words[-1][0] == name:
            times += words.pop()[1]
        words.append((name, times))
    return " + ".join(name if n == 1 else f"{n} {name}s" for name, n in words)


def summary_of(view: FeatureView, typeset: Typeset) -> Sentence:
    """Of a feature with all that is stored of it."""
    record = view.record
    return summary(
        typeset,
        record.firings,
        view.dictionary.n_tokens,
        (record.fires_on, record.fires_after),
        view.landing,
    )


def summary_of_row(row: FeatureRow, typeset: Typeset) -> Sentence:
    """Of a feature in a table."""
    tokens = (row.fires_on, row.fires_after)
    return summary(typeset, row.firings, row.n_tokens, tokens, row.landing)


def summary(
    typeset: Typeset,
    firings: int,
    n_tokens: int,
    tokens: tuple[Ranking | None, Ranking | None],
    landing: Landing | None,
) -> Sentence:
    """The line; without parts where nothing is known that it could say.

    Args:
        typeset: the tokens of the language model.
        firings: tokens on which it fires.
        n_tokens: tokens that were read; 0: not known.
        tokens: what it fires on, and after, as in `FeatureRecord`.
        landing: where its effect lands; None: not computed.
    """
    fires_on, fires_after = tokens
    if firings == 0:
        tokens_read = f" in {count(n_tokens)} tokens" if n_tokens else ""
        return Sentence((f"never fired{tokens_read}",), typeset)
    if fires_on is None or fires_after is None or not len(fires_on.ids):
        return Sentence((), typeset)
    parts: list[str | int] = []
    if group := _group(fires_on):
        how, ids = group
        parts += [f"fires {how}on ", *_listed(ids)]
    else:
        often = percent(float(fires_on.weights[0]))
        parts += ["fires on many tokens, most often ", int(fires_on.ids[0]), f" ({often})"]
    if group := _group(fires_after):
        how, ids = group
        parts += [f", {how}after " if how else " after ", *_listed(ids)]
    return Sentence((*parts, *_helps(landing)), typeset)


def _group(ranking: Ranking) -> tuple[str, list[int]] | None:
    """The fewest first tokens that stand for nearly all; else, with `mostly `, for half."""
    ids: list[int] = ranking.ids.tolist()
    total, half = 0.0, 0
    for n, share in enumerate(ranking.weights.tolist()[:MOST_NAMED], 1):
        if share < LEAST_NAMED:
            break
        total += share
        if total >= NEARLY_ALL:
            return "", ids[:n]
        if total >= HALF:
            half = half or n
    return ("mostly ", ids[:half]) if half else None


def _listed(ids: list[int]) -> Iterable[str | int]:
    """Tokens with commas and an `and` between."""
    for n, token in enumerate(ids):
        if n:
            yield " and " if n == len(ids) - 1 else ", "
        yield token


def _helps(landing: Landing | None) -> list[str | int]:
    if landing is None or landing.effect is None:
        return []
    if landing.effect < LEAST_EFFECT:
        return ["; helps no prediction by much"]
    if float(landing.tokens.shares[0]) >= HALF:
        return ["; helps ", int(landing.tokens.ids[0]), f" by {_nats(landing.tokens.weights[0])}"]
    return [f"; helps various tokens by {_nats(landing.effect)}"]


def _nats(value: float) -> str:
    return f"{value:.{2 if value >= 0.1 else 3}f} nats"


def _plain(token: int, typeset: Typeset) -> str:
    if words := white_space(typeset.real[token]):
        return words
    text = typeset.visible[token]
    return f"`{text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + '…'}`"
