"""What the figures of a comparison say, in sentences."""

from __future__ import annotations

from app.rendering.numbers import count, number, percent
from app.rendering.tokens import printable
from app.store.types.comparisons import ComparedDictionary, ComparedNow, PairFigures
from sae_core.evaluation.comparison.figures import FoundShare, MatchFigures
from sae_core.evaluation.comparison.limits import FEWEST_FIRINGS

MEASURES = {"correlation": "correlation of activations", "cosine": "cosine of decoder rows"}


def noun_of(compared: ComparedDictionary, n: int = 2) -> str:
    """What the dictionary holds: features or neurons, one or several."""
    return ("neuron" if compared.is_neurons else "feature") + ("" if n == 1 else "s")


def share_in_words(share: FoundShare) -> str:
    """A share with its interval."""
    return f"{percent(share.share)} ({percent(share.low)} to {percent(share.high)})"


def measure_of(figures: PairFigures, by: str) -> MatchFigures | None:
    """The figures by one measure; None: there are none."""
    return figures.by_cosine if by == "cosine" else figures.by_correlation


def found_sentence(
    here: ComparedDictionary, there: ComparedDictionary, figures: MatchFigures, by: str
) -> str:
    """What share is found again, beside chance."""
    return (
        f"Of {count(figures.found.n)} {noun_of(here, figures.found.n)} of "
        f"{printable(here.dictionary)}, {share_in_words(figures.found)} are found again in "
        f"{printable(there.dictionary)}: their best match there has a {MEASURES[by]} of at least "
        f"{number(figures.bar, 2)}. Of matches with the null, {percent(figures.null_found.share)} "
        "do."
    )


def above_sentence(figures: MatchFigures) -> str:
    """What share is above the null's threshold, beside what chance puts above it."""
    above, null = figures.above_null, figures.null_above
    verdict = "more than chance gives" if above.low > null.high else "no more than chance gives"
    medians = number(figures.median, 2), number(figures.null_median, 2)
    return (
        f"{share_in_words(above)} match better than 99 of 100 do by chance (above "
        f"{number(figures.threshold, 2)}); of a second null it is {share_in_words(null)}: "
        f"{verdict}. The median match is {medians[0]}, by chance {medians[1]}."
    )


def left_out_sentence(compared: ComparedDictionary) -> str:
    """Which features no correlation was computed for; empty where there are none such."""
    parts = []
    if compared.silent:
        parts.append(f"{count(compared.silent)} never fire on this text")
    if compared.rare:
        parts.append(f"{count(compared.rare)} fire on fewer than {FEWEST_FIRINGS} tokens of it")
    if not parts:
        return ""
    return (
        f"Of {printable(compared.dictionary)}'s {count(compared.d_sae)} {noun_of(compared)}, "
        f"{' and '.join(parts)}: they have no correlation, and are in no share of it."
    )


def state_of(now: ComparedNow) -> str:
    """What has become of a dictionary since; empty: it is as it was."""
    if not now.there:
        return "removed since, or its weights were replaced"
    if not now.harvested:
        return "not harvested"
    return "harvested anew since" if now.anew else ""
