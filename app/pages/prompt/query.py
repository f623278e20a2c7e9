"""The address of the prompt page: everything that the page shows follows from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self
from urllib.parse import urlencode

from app.errors import InvalidRequest
from app.rendering.addresses import model_page_address

Sort = Literal["activation", "share", "rarity", "effect"]
SORTS: tuple[Sort, ...] = ("activation", "share", "rarity", "effect")
Why = Literal["", "out", "replaced"]
LONGEST_TEXT = 20_000
MOST_TOGETHER = 64
_MOST_DIGITS = 9


@dataclass(frozen=True, order=True)
class FeatureName:
    """A feature as addresses name it: `dictionary:index`."""

    dictionary: str
    index: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The feature that a text names.

        Raises:
            InvalidRequest: it names none.
        """
        dictionary, _, index = text.rpartition(":")
        if not dictionary or not _is_number(index):
            raise InvalidRequest(
                f"{_shown(text)} names no feature: write dictionary:index, as in mlp-4096:12."
            )
        return cls(dictionary, int(index))

    def __str__(self) -> str:
        return f"{self.dictionary}:{self.index}"


@dataclass(frozen=True)
class PromptQuery:
    """What the page is asked to show.

    Attributes:
        text: the prompt; None: none was given yet.
        other: a second prompt to compare with; empty: none.
        dictionaries: names of those to read; empty: one, as the page chooses.
        sort: what features are ordered by; empty: as suits the dictionaries that are read.
        token: position of the chosen token, or the number of tokens for the next one.
        feature: the chosen feature.
        target: position of the prediction in question.
        instead: another token in its place, as text; empty: the one that stands there, or the
            likeliest one after the prompt.
        together: features to be ablated at once.
        why: how tokens are taken away to see why the chosen feature fires; empty: not at all.
        neutral: what replaces a token, as text; empty: the page chooses.
        everything: all rows of tables instead of the first.
        exact: wait for all exact effects instead of streaming them.
    """

    text: str | None = None
    other: str = ""
    dictionaries: tuple[str, ...] = ()
    sort: Sort | Literal[""] = ""
    token: int | None = None
    feature: FeatureName | None = None
    target: int | None = None
    instead: str = ""
    together: tuple[FeatureName, ...] = ()
    why: Why = ""
    neutral: str = ""
    everything: bool = False
    exact: bool = False

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Names and values as they stand in an address; defaults are left out."""
        pairs: list[tuple[str, Any]] = [
            *([] if self.text is None else [("text", self.text)]),
            ("other", self.other),
            *(("d", name) for name in self.dictionaries),
            ("sort", self.sort),
            ("token", self.token),
            ("feature", self.feature),
            ("target", self.target),
            ("instead", self.instead),
            *(("a", feature) for feature in self.together),
            ("why", self.why),
            ("with", self.neutral),
            ("all", int(self.everything) or ""),
            ("exact", int(self.exact) or ""),
        ]
        return [
            (name, str(value))
            for name, value in pairs
            if name == "text" or (value is not None and value != "")
        ]

    def without(self, *names: str) -> list[tuple[str, str]]:
        """`fields` but those of these names: what a form keeps while its buttons set the others."""
        return [(name, value) for name, value in self.fields if name not in names]

    @property
    def encoded(self) -> str:
        """The part of the address after the question mark."""
        return urlencode(self.fields, safe=":", errors="replace")

    def address(self, model: str) -> str:
        """Where the page is found."""
        return model_page_address(model) + (f"?{self.encoded}" if self.fields else "")

    def with_(self, **changes: Any) -> PromptQuery:
        """The same with something changed."""
        return replace(self, **changes)


def parse(pairs: Iterable[tuple[str, str]]) -> tuple[PromptQuery, InvalidRequest | None]:
    """The query that names and values spell, and the first thing in it that cannot be used.

    What cannot be used is left out; the rest is kept, so that a page can say what is wrong beside
    everything that was asked. Of a name that stands there twice the last value counts.
    """
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    reader = _Reader(given)
    target, instead = reader.last("target"), lines(reader.last("instead"))
    if target and not _is_number(target):  # a token typed in its place: the one after the prompt
        target, instead = "", target
    query = PromptQuery(
        text=lines(reader.last("text")) if "text" in given else None,
        other=lines(reader.last("other")),
        dictionaries=tuple(dict.fromkeys(name for name in given.get("d", ()) if name)),
        sort=reader.one_of("sort", SORTS, ""),
        token=reader.number("token"),
        feature=reader.feature("feature"),
        target=reader.as_number("target", target),
        instead=instead,
        together=reader.features("a", MOST_TOGETHER),
        why=reader.one_of("why", ("", "out", "replaced"), ""),
        neutral=lines(reader.last("with")),
        everything=reader.last("all") == "1",
        exact=reader.last("exact") == "1",
    )
    return query, reader.problem


def check_text(text: str, name: str = "prompt") -> None:
    """Refuse a text that cannot be a prompt here.

    Raises:
        InvalidRequest: saying what is wrong, with the numbers.
    """
    if not text:
        raise InvalidRequest(f"The {name} is empty: write or paste some text.")
    if len(text) > LONGEST_TEXT:
        raise InvalidRequest(
            f"The {name} has {len(text):,} characters; at most {LONGEST_TEXT:,} are taken."
        )


def check_typed(text: str, name: str = "prompt") -> None:
    """Refuse a text that a page cannot carry; see `check_text`.

    Raises:
        InvalidRequest: saying what is wrong, with the numbers.
    """
    check_text(text, name)
    if (place := text.find("\0")) >= 0:
        raise InvalidRequest(
            f"Character {place + 1:,} of the {name} is NUL (U+0000), which no text field can hold: "
            "remove it here, or send the prompt to the JSON interface."
        )


class _Reader:
    """Reads values by name and keeps the first problem."""

    def __init__(self, given: dict[str, list[str]]) -> None:
        self._given = given
        self.problem: InvalidRequest | None = None

    def last(self, name: str) -> str:
        return self._given.get(name, [""])[-1]

    def number(self, name: str) -> int | None:
        return self.as_number(name, self.last(name))

    def as_number(self, name: str, text: str) -> int | None:
        if not text:
            return None
        if not _is_number(text):
            self._refuse(f"{name} cannot be {_shown(text)}: it is the position of a token, from 0.")
            return None
        return int(text)

    def one_of(self, name: str, known: Sequence[Any], default: Any) -> Any:
        value = self.last(name)
        if not value or value in known:
            return value or default
        names = ", ".join(filter(None, known))
        self._refuse(f"{name} cannot be {_shown(value)}: it is one of {names}.")
        return default

    def feature(self, name: str) -> FeatureName | None:
        return next(iter(self._features([text] if (text := self.last(name)) else [])), None)

    def features(self, name: str, most: int) -> tuple[FeatureName, ...]:
        names = tuple(dict.fromkeys(self._features(self._given.get(name, []))))
        if len(names) > most:
            self._refuse(f"At most {most} features are ablated together; these are {len(names)}.")
        return names[:most]

    def _features(self, texts: Collection[str]) -> list[FeatureName]:
        names = []
        for text in texts:
            try:
                names.append(FeatureName.parse(text))
            except InvalidRequest as error:
                self._refuse(str(error))
        return names

    def _refuse(self, sentence: str) -> None:
        self.problem = self.problem or InvalidRequest(sentence)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def lines(text: str) -> str:
    """Forms send every line break as CR LF; a prompt has what was typed."""
    return text.replace("\r\n", "\n")
