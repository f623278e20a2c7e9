"""A comparison as it is drawn: its dictionaries, and what of each was found in each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from app.pages.compare.words import left_out_sentence, share_in_words, state_of
from app.rendering.addresses import comparison_address, dictionary_address
from app.store.types.comparisons import ComparedDictionary, ComparisonView, PairFigures
from sae_core.evaluation.comparison.figures import MatchFigures


@dataclass(frozen=True)
class PairSummary:
    """A pair in the table of a comparison.

    Attributes:
        figures: as stored.
        here: the dictionary whose features are looked for.
        there: the one in which they are looked for.
        address: of the pair's page.
    """

    figures: PairFigures
    here: ComparedDictionary
    there: ComparedDictionary
    address: str

    @property
    def best(self) -> MatchFigures | None:
        """The figures by correlation, or by decoder where there are none."""
        return self.figures.by_correlation or self.figures.by_cosine

    @staticmethod
    def share(figures: MatchFigures) -> str:
        """What is found again, in words."""
        return share_in_words(figures.found)


@dataclass(frozen=True)
class ComparisonPage:
    """A comparison.

    Attributes:
        view: as stored.
    """

    view: ComparisonView

    @property
    def address(self) -> str:
        """Of its page."""
        return comparison_address(self.view.name)

    @property
    def members(self) -> list[tuple[ComparedDictionary, str, str]]:
        """Each dictionary, the address of its page where there is one, and what became of it."""
        return [
            (
                compared,
                dictionary_address(now.model, now.dictionary) if now.harvested else "",
                state_of(now),
            )
            for compared, now in zip(self.view.dictionaries, self.view.now, strict=True)
        ]

    @cached_property
    def pairs(self) -> list[PairSummary]:
        """All of them, both ways."""
        return [
            PairSummary(
                figures,
                self.view.dictionaries[source],
                self.view.dictionaries[target],
                comparison_address(self.view.name, source, target),
            )
            for (source, target), figures in self.view.pairs.items()
        ]

    @property
    def stale(self) -> list[str]:
        """Which dictionaries are not as they were, in words."""
        return [f"{compared.title}: {state}" for compared, _, state in self.members if state]

    @property
    def left_out(self) -> list[str]:
        """For each dictionary, which of its features have no correlation."""
        return list(filter(None, map(left_out_sentence, self.view.dictionaries)))

    @property
    def tree_root(self) -> str:
        """The address of the tree of a feature of the smallest dictionary; empty: all are of one
        size."""
        sizes = [compared.d_sae for compared in self.view.dictionaries if not compared.is_neurons]
        if len(set(sizes)) < 2:
            return ""
        smallest = next(
            place
            for place, compared in enumerate(self.view.dictionaries)
            if not compared.is_neurons and compared.d_sae == min(sizes)
        )
        return comparison_address(self.view.name, "tree", smallest)
