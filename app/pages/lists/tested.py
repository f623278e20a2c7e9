"""Where the features of a list fire on a text of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from app.errors import FeaturescopeError, InvalidRequest
from app.pages.lists.page import ItemLine
from app.rendering.contexts import activation_levels
from app.rendering.markup import trusted
from app.rendering.numbers import activation, percent
from app.rendering.tokens import Typeset
from app.store.types.catalogue import DictionaryView
from app.web.errors import status_of
from app.web.site import Site
from app.worker.client.readings import Reading
from app.worker.client.references import opens_with_bos, without_model
from app.worker.protocol.requests import MOST_DICTIONARIES

LONGEST_TEXT = 4_000  # characters: the address holds them


@dataclass(frozen=True)
class FiringsOnText:
    """Where a feature fires on a text.

    Attributes:
        tokens: of the text, special ones included, each as plain text, [n].
        strip: the same as HTML, orange where it fires.
        positions: where it fires, ascending, int32 [k].
        values: its activations there, model units, float32 [k].
        maximum: its largest activation in the harvest.
    """

    tokens: Sequence[str]
    strip: Markup
    positions: NDArray[np.int32]
    values: NDArray[np.float32]
    maximum: float

    @property
    def sentence(self) -> str:
        """On how many tokens it fires, and how strongly."""
        n, k = len(self.tokens), len(self.positions)
        if k == 0:
            return f"does not fire on any of {n:,} tokens"
        peak = float(self.values.max())
        strength = f"at most {activation(peak, self.maximum or peak)}"
        if self.maximum > 0:
            strength += f", {percent(peak / self.maximum)} of its largest in the harvest"
        return f"fires on {k:,} of {n:,} tokens, {strength}"


@dataclass(frozen=True)
class ListTest:
    """A text, and where the features of a list fire on it.

    Attributes:
        text: as it was typed; None: nothing was asked.
        firings: of each feature that could be asked, by its place in the list.
        problem: why others could not; empty: all were.
        error: the first failure; None: none, though features may be of dictionaries that cannot
            be asked.
    """

    text: str | None = None
    firings: Mapping[int, FiringsOnText] | None = None
    problem: str = ""
    error: FeaturescopeError | None = None

    longest_text = LONGEST_TEXT

    def at(self, place: int) -> FiringsOnText | None:
        """Of the feature at a place of the list; None where it was not asked."""
        return (self.firings or {}).get(place)

    @property
    def status(self) -> int:
        """Of the answer, by what went wrong."""
        return status_of(self.error) if self.error else 200

    def whole(self) -> ListTest:
        """The same, where anything was read.

        Raises:
            FeaturescopeError: nothing was, for this reason.
        """
        if self.error and not self.firings:
            raise self.error
        return self

    @property
    def silent(self) -> int:
        """How many features do not fire."""
        return sum(not len(firings.positions) for firings in (self.firings or {}).values())


def list_test(site: Site, lines: Sequence[ItemLine], text: str | None) -> ListTest:
    """Read a text with the dictionaries of a list's features.

    What cannot be read is said in the answer, beside what could.

    Raises:
        Pending: an answer of the worker has to be waited for.
    """
    if text is None:
        return ListTest()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    firings: dict[int, FiringsOnText] = {}
    errors: list[FeaturescopeError] = []
    try:
        _check(text)
        for views in _read_alike(site, lines):
            try:
                reading = site.prompts.read(views[0], text, views)
            except FeaturescopeError as error:
                errors.append(error)
                continue
            for at, view in enumerate(views):
                firings |= _of_dictionary(site, view, reading, at, lines)
    except InvalidRequest as error:
        errors.append(error)
    problem = " ".join(dict.fromkeys([*map(str, errors), *_unasked(site, lines)]))
    return ListTest(text, firings, problem, next(iter(errors), None))


def _unasked(site: Site, lines: Sequence[ItemLine]) -> Iterator[str]:
    """A sentence for each dictionary that cannot be asked, and one for features without any."""
    if missing := sum(not line.address for line in lines):
        yield (
            f"{missing:,} of the list {'is' if missing == 1 else 'are'} of dictionaries that the "
            "store no longer has, or that are not harvested: nothing can read a text with them."
        )
    wanted = _wanted(lines)
    for view in site.store.catalogue():
        if (view.model, view.name) in wanted and view.is_imported:
            yield without_model(view.title)


def _check(text: str) -> None:
    if not text.strip():
        raise InvalidRequest("The text is empty: write or paste some.", "text")
    if len(text) > LONGEST_TEXT:
        raise InvalidRequest(
            f"The text has {len(text):,} characters; a list takes at most {LONGEST_TEXT:,}. "
            "The prompt page takes longer ones.",
            "text",
        )
    if "\0" in text:
        raise InvalidRequest("The text has a NUL character (U+0000): remove it.", "text")


def _read_alike(site: Site, lines: Sequence[ItemLine]) -> Iterator[Sequence[DictionaryView]]:
    """The dictionaries that one reading answers for: of one model, and opening texts alike."""
    wanted = _wanted(lines)
    groups: dict[tuple[str, bool], list[DictionaryView]] = {}
    for view in site.store.catalogue():
        if (view.model, view.name) in wanted and not view.is_imported:
            groups.setdefault((view.model, opens_with_bos(view)), []).append(view)
    for views in groups.values():
        for start in range(0, len(views), MOST_DICTIONARIES):
            yield views[start : start + MOST_DICTIONARIES]


def _wanted(lines: Sequence[ItemLine]) -> set[tuple[str, str]]:
    """Model and name of each dictionary that has a page."""
    return {(line.item.model, line.item.dictionary) for line in lines if line.address}


def _of_dictionary(
    site: Site, view: DictionaryView, reading: Reading, at: int, lines: Sequence[ItemLine]
) -> Iterator[tuple[int, FiringsOnText]]:
    typeset = site.typeset(view)
    tokens = reading.tokens.tolist()
    for line in lines:
        if line.address and (line.item.model, line.item.dictionary) == (view.model, view.name):
            positions, values = reading.firings[at].of(line.item.index)
            full = line.maximum or float(values.max(initial=0.0))
            yield (
                line.place,
                FiringsOnText(
                    tokens=[typeset.real[token] for token in tokens],
                    strip=_strip(tokens, typeset, positions, values, full),
                    positions=positions,
                    values=values,
                    maximum=line.maximum,
                ),
            )


def _strip(
    tokens: Sequence[int],
    typeset: Typeset,
    positions: NDArray[np.int32],
    values: NDArray[np.float32],
    full: float,
) -> Markup:
    levels = dict(zip(positions.tolist(), activation_levels(values, full).tolist(), strict=True))
    words = dict(zip(positions.tolist(), values.tolist(), strict=True))
    parts = [
        f'<bdi class="a{levels[place]}" title="{activation(words[place], full)}">{inner}</bdi>'
        if place in levels
        else f"<bdi>{inner}</bdi>"
        for place, inner in enumerate(typeset.broken[token] for token in tokens)
    ]
    return trusted("".join(parts))
