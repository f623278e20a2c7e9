"""What was found, as JSON."""

from __future__ import annotations

from app.pages.search.example import ExampleLine, FoundByExample
from app.pages.search.meaning import MeaningPage
from app.pages.search.schema import (
    ExampleAnswer,
    ExampleHitAnswer,
    MeaningAnswer,
    MeaningHitAnswer,
    SearchAnswer,
    SearchGroupAnswer,
    SearchHitAnswer,
)
from app.rendering.tokens import printable
from app.web.search.results import SearchHit, SearchResults


def search_answer(results: SearchResults) -> SearchAnswer:
    """Hits by kind."""
    return SearchAnswer(
        groups=[
            SearchGroupAnswer(
                kind=group.kind,
                title=group.title,
                hits=list(map(_hit, group.hits)),
                more=group.more,
                note=group.note,
            )
            for group in results.groups
        ],
        note=results.note,
    )


def meaning_answer(page: MeaningPage) -> MeaningAnswer:
    """Features of which something similar is said."""
    return MeaningAnswer(
        dictionary=page.chosen.title if page.chosen else "",
        features=[
            MeaningHitAnswer(
                index=line.row.index,
                address=line.address,
                label=line.row.label,
                text=printable(line.text),
                cosine=line.cosine,
            )
            for line in page.lines
        ],
        note=page.problem,
    )


def example_answer(found: FoundByExample) -> ExampleAnswer:
    """Features that tell texts apart."""
    return ExampleAnswer(
        model=found.dictionary.model,
        dictionary=found.dictionary.name,
        features=list(map(_tested, found.lines)),
        fired=found.contrast.fired,
        least_p=found.contrast.least_p,
    )


def _hit(hit: SearchHit) -> SearchHitAnswer:
    return SearchHitAnswer(
        model=hit.dictionary.model,
        dictionary=hit.dictionary.name,
        index=hit.row.index,
        address=hit.address,
        label=hit.row.label,
        summary=hit.summary.text,
        reason=hit.reason.text,
        html=str(hit.reason.html),
    )


def _tested(line: ExampleLine) -> ExampleHitAnswer:
    figures = line.figures
    return ExampleHitAnswer(
        index=figures.feature,
        address=line.address,
        label=line.row.label,
        summary=line.summary.text,
        chosen=figures.chosen,
        held_out=figures.held_out,
        p_value=figures.p_value,
        corrected=figures.corrected,
        mean_on=figures.mean_on,
        mean_off=figures.mean_off,
    )
