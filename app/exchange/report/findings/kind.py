"""What every kind of finding can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from app.exchange.report.bench import RecomputingBench
from app.exchange.report.schema import DictionaryFacts, RawFinding, ReportPart
from app.store.store import Store
from app.store.types.catalogue import DictionaryView

Asked = TypeVar("Asked", bound=ReportPart)
Found = TypeVar("Found", bound=ReportPart)
Stated = TypeVar("Stated", bound=ReportPart)


@dataclass(frozen=True)
class ReadFinding(Generic[Asked, Found, Stated]):
    """A finding with its parts as their types say.

    Attributes:
        asked: what decides it.
        found: figures and texts that come out again.
        stated: what people say of it.
        facts: of the dictionaries it is about, in its own order.
    """

    asked: Asked
    found: Found
    stated: Stated
    facts: tuple[DictionaryFacts, ...]


@dataclass(frozen=True)
class GatheredFinding(Generic[Asked, Found, Stated]):
    """A finding out of the store; fields as in `ReadFinding`, with the dictionaries' views."""

    asked: Asked
    found: Found
    stated: Stated
    views: tuple[DictionaryView, ...]


class FindingKind(ABC, Generic[Asked, Found, Stated]):
    """A kind of finding.

    Attributes:
        name: as reports call it, and the option of `featurescope report`.
        asked: type of what decides it; so `found` and `stated`.
    """

    name: ClassVar[str]
    asked: type[Asked]
    found: type[Found]
    stated: type[Stated]

    @abstractmethod
    def gather(self, store: Store, words: str) -> GatheredFinding[Asked, Found, Stated]:
        """What the store says.

        Raises:
            NotFound: there is nothing of that name.
            InvalidRequest: it cannot stand in a report; the message says why.
        """

    @abstractmethod
    def titles(self, asked: Asked) -> tuple[str, ...]:
        """Titles of the dictionaries it is about."""

    @abstractmethod
    def claim(self, finding: ReadFinding[Asked, Found, Stated]) -> str:
        """In words what is claimed."""

    @abstractmethod
    def command(self, finding: ReadFinding[Asked, Found, Stated]) -> str:
        """What made it, for a terminal."""

    @abstractmethod
    def address(self, finding: ReadFinding[Asked, Found, Stated]) -> str:
        """Of its page."""

    @abstractmethod
    def recompute(
        self, finding: ReadFinding[Asked, Found, Stated], bench: RecomputingBench
    ) -> dict[str, Any]:
        """`found` once more, with `NearFigure` and `NotHere` in it.

        Raises:
            CannotRecompute: nothing of it can be computed here; the message says why.
        """

    def read(
        self, raw: RawFinding, facts: dict[str, DictionaryFacts]
    ) -> ReadFinding[Asked, Found, Stated]:
        """A finding of a report with its parts as their types say.

        Raises:
            ValueError: it is none of this kind, or the report says nothing of its dictionary.
        """
        asked = self.asked.model_validate(raw.asked)
        if missing := [title for title in self.titles(asked) if title not in facts]:
            raise ValueError(f"the report says nothing of the dictionary {missing[0]!r:.80}")
        return ReadFinding(
            asked,
            self.found.model_validate(raw.found),
            self.stated.model_validate(raw.stated),
            tuple(facts[title] for title in self.titles(asked)),
        )

    def written(self, finding: ReadFinding[Asked, Found, Stated]) -> RawFinding:
        """As a report holds it: claim, command and address follow from the rest."""
        return RawFinding(
            kind=self.name,
            claim=self.claim(finding),
            command=self.command(finding),
            address=self.address(finding),
            asked=finding.asked.model_dump(mode="json"),
            found=finding.found.model_dump(mode="json"),
            stated=finding.stated.model_dump(mode="json"),
        )
