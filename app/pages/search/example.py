"""The search by example: texts on which a feature must fire, and texts on which it must not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Query

from app.errors import InvalidRequest, NotFound
from app.rendering.addresses import dictionary_address
from app.rendering.tokens import Typeset
from app.rendering.words.summary import Sentence, summary_of_row
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.web.site import Site
from app.worker.client.references import without_model
from sae_core.audit.contrast.examples import (
    LEAST_TEXTS,
    MOST_TESTED,
    Contrast,
    ContrastedFeature,
    contrast,
)

MOST_TEXTS = 100  # of either kind
LONGEST_TEXT = 1_000  # characters
MOST_CHARACTERS = 8_000  # of both kinds: the address holds them
FOUND = 0.05  # the largest corrected p-value of a feature that counts as found


@dataclass(frozen=True)
class ExampleQuery:
    """A search by example.

    Attributes:
        of: the dictionary as `model/name`; empty: the first that can be asked.
        fire: texts on which it must fire, one a line.
        quiet: texts on which it must not, one a line.
    """

    of: str
    fire: str
    quiet: str


async def _example_query(
    d: Annotated[str, Query(description="The dictionary that is searched, `model/name`.")] = "",
    fire: Annotated[
        str, Query(description="Texts on which the feature must fire, one a line.")
    ] = "",
    quiet: Annotated[
        str, Query(alias="not", description="Texts on which it must not, one a line.")
    ] = "",
) -> ExampleQuery:
    return ExampleQuery(d, fire, quiet)


TheExample = Annotated[ExampleQuery, Depends(_example_query)]


@dataclass(frozen=True)
class ExampleLine:
    """A feature that was tested.

    Attributes:
        figures: how well it tells the texts apart.
        row: what tables show of it.
        address: of its page.
        summary: it in one line, from counts alone.
    """

    figures: ContrastedFeature
    row: FeatureRow
    address: str
    summary: Sentence

    @property
    def found(self) -> bool:
        """Whether it is better than chance on the held-out texts."""
        return self.figures.corrected <= FOUND


@dataclass(frozen=True)
class FoundByExample:
    """What a search by example gives.

    Attributes:
        dictionary: that was searched.
        contrast: the figures.
        lines: of each feature that was tested.
    """

    dictionary: DictionaryView
    contrast: Contrast
    lines: tuple[ExampleLine, ...]


@dataclass(frozen=True)
class ExamplePage:
    """The page of a search by example.

    Attributes:
        asked: as the address says it.
        dictionaries: that can be asked.
        found: what it gives; None: nothing was asked, or there is a problem.
        problem: why there is no answer; empty: there is one, or nothing was asked.
    """

    asked: ExampleQuery
    dictionaries: Sequence[DictionaryView]
    found: FoundByExample | None = None
    problem: str = ""

    least, most = LEAST_TEXTS, MOST_TEXTS
    most_characters, most_tested, threshold = MOST_CHARACTERS, MOST_TESTED, FOUND


def example_page(site: Site, asked: ExampleQuery) -> ExamplePage:
    """The page, with the answer where something was asked.

    Raises:
        Pending, and what the worker's client raises.
    """
    usable = _usable(site.store.catalogue())
    if not asked.of and usable:
        asked = replace(asked, of=usable[0].title)
    page = ExamplePage(asked, usable)
    if not (asked.fire.strip() or asked.quiet.strip()):
        return page
    try:
        return replace(page, found=found_by_example(site, asked))
    except (InvalidRequest, NotFound) as error:
        return replace(page, problem=str(error))


def found_by_example(site: Site, asked: ExampleQuery) -> FoundByExample:
    """Ask the worker about all texts, rank and test.

    Raises:
        InvalidRequest: there are too few texts, too many, or too long ones; the dictionary was
            imported without its model.
        NotFound: there is no such dictionary.
    """
    view = _dictionary(site.store.catalogue(), asked.of)
    fire = _texts(asked.fire, "on which it must fire", "fire")
    quiet = _texts(asked.quiet, "on which it must not", "not")
    if sum(map(len, (*fire, *quiet))) > MOST_CHARACTERS:
        raise InvalidRequest(
            f"All texts together have at most {MOST_CHARACTERS:,} characters: give fewer, or "
            "shorter ones.",
            "fire",
        )
    read = site.prompts.maxima(view, [*fire, *quiet]).texts
    made = contrast(read[: len(fire)], read[len(fire) :])
    rows = site.store.rows(view, [feature.feature for feature in made.features])
    typeset = site.typeset(view)
    return FoundByExample(view, made, tuple(_lines(view, made, rows, typeset)))


def _lines(
    view: DictionaryView, made: Contrast, rows: dict[int, FeatureRow], typeset: Typeset
) -> list[ExampleLine]:
    return [
        ExampleLine(
            figures,
            rows[figures.feature],
            dictionary_address(view.model, view.name, figures.feature),
            summary_of_row(rows[figures.feature], typeset),
        )
        for figures in made.features
        if figures.feature in rows
    ]


def _usable(catalogue: Sequence[DictionaryView]) -> list[DictionaryView]:
    """Dictionaries that the worker can read texts with, those before neuron bases."""
    there = [view for view in catalogue if view.harvest is not None and not view.is_imported]
    return sorted(there, key=lambda view: view.is_neurons)


def _dictionary(catalogue: Sequence[DictionaryView], title: str) -> DictionaryView:
    usable = _usable(catalogue)
    for view in catalogue:
        if view.title == title and view.is_imported:
            raise InvalidRequest(without_model(title), "d")
    for view in usable:
        if view.title == title or not title:
            return view
    known = ", ".join(view.title for view in usable[:8])
    there = f"There are {known}." if known else "Harvest one first."
    raise NotFound(f"There is no harvested dictionary {title!r:.80}. {there}")


def _texts(typed: str, which: str, field: str) -> list[str]:
    texts = [line for line in typed.replace("\r\n", "\n").split("\n") if line.strip()]
    if len(texts) < LEAST_TEXTS:
        raise InvalidRequest(
            f"Give at least {LEAST_TEXTS} texts {which}, one a line: half of them test what the "
            f"other half finds. There are {len(texts)}.",
            field,
        )
    if len(texts) > MOST_TEXTS:
        raise InvalidRequest(
            f"Give at most {MOST_TEXTS} texts {which}; there are {len(texts):,}.", field
        )
    if (longest := max(map(len, texts))) > LONGEST_TEXT:
        raise InvalidRequest(
            f"A text has at most {LONGEST_TEXT:,} characters here; one has {longest:,}.", field
        )
    return texts
