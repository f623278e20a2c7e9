"""What was found, as JSON."""

from __future__ import annotations

from app.pages.search.example import ExampleLine, FoundByExample
from app.pages.search.meaning import MeaningPage
from app.pages.search.phrase import FoundByPhrase, PhraseLine
from app.pages.search.schema import (
    ExampleAnswer,
    ExampleHitAnswer,
    MeaningAnswer,
    MeaningHitAnswer,
    PhraseAnswer,
    PhraseHitAnswer,
    PhrasePlaceAnswer,
    PhraseReadingAnswer,
    SearchAnswer,
    SearchGroupAnswer,
    SearchHitAnswer,
)
from app.rendering.tokens import Typeset, printable, real
from app.web.search.results import SearchHit, SearchResults
from sae_core.evaluation.specificity import SpecificFeature

_FIGURES = tuple(PhraseHitAnswer.model_fields.keys() & SpecificFeature.__annotations__.keys())


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
        stale=page.stale,
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


def phrase_answer(found: FoundByPhrase) -> PhraseAnswer:
    """Features that are specific to a phrase."""
    results, real = found.results, found.typeset.real
    return PhraseAnswer(
        dictionary=found.dictionary.title,
        n_tokens=results.n_tokens,
        bytes_a_token=found.size.bytes_a_token,
        places=results.n_places,
        read=results.n_read,
        documents=results.n_documents,
        readings=[
            PhraseReadingAnswer(tokens=[real[t] for t in reading.tokens], count=reading.count)
            for reading in results.readings
        ],
        features=[_specific(line, found.typeset) for line in found.lines],
        nearest=printable(results.nearest),
    )


def _specific(line: PhraseLine, typeset: Typeset) -> PhraseHitAnswer:
    figures, place = vars(line.figures), line.place

    def text(tokens: tuple[int, ...]) -> str:
        return real(b"".join(typeset.vocabulary.pieces[token] for token in tokens))

    return PhraseHitAnswer(
        index=line.figures.feature,
        address=line.address,
        label=line.row.label,
        summary=line.summary.text,
        example=PhrasePlaceAnswer(
            document=printable(place.document),
            line=place.line,
            before=text(place.before),
            phrase=text(place.tokens),
            after=text(place.after),
            fires_on=list(place.fired),
        ),
        **{name: figures[name] for name in _FIGURES if name != "example"},
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
