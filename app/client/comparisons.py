"""Comparisons of dictionaries, from Python. Twins of the JSON interface."""

from __future__ import annotations

from app.client.transport import Answer, Transport
from app.pages.compare import schema as types
from app.pages.compare.moments.schema import TrainingAnswer, TrainingList, TrainingName
from app.pages.compare.schema import Measure, PairSort, Shown


class ComparisonsClient:
    """What dictionaries have in common. Reached as `FeaturescopeClient.comparisons`.

    Every method raises RequestFailed where the server refuses or cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all(self) -> list[types.ComparisonSummary]:
        """All comparisons that were made."""
        return self._ask(types.ComparisonList, ("compare",)).comparisons

    def of(self, name: str) -> types.ComparisonAnswer:
        """A comparison, with the figures of all its pairs."""
        return self._ask(types.ComparisonAnswer, ("compare", name))

    def pair(
        self,
        name: str,
        source: int,
        target: int,
        by: Measure = "correlation",
        sort: PairSort = "value",
        show: Shown = "",
        page: int = 1,
    ) -> types.PairPageAnswer:
        """Fifty features of one dictionary, with their matches in another one.

        Args:
            name: of the comparison.
            source: place of the one in the comparison.
            target: place of the other.
            by: what features are matched by.
            sort: the most alike first, or by number.
            show: found, lost or paired; empty: all that have a match.
            page: from 1.
        """
        query = {"by": by, "sort": sort, "show": show, "page": str(page)}
        return self._ask(types.PairPageAnswer, ("compare", name, source, target), **query)

    def tree(
        self, name: str, place: int, index: int, by: Measure = "correlation"
    ) -> types.SplitAnswer:
        """How a feature splits in the larger dictionaries of a comparison.

        Args:
            name: of the comparison.
            place: of the feature's dictionary there.
            index: of the feature.
            by: what features are matched by.
        """
        return self._ask(types.SplitAnswer, ("compare", name, "tree", place, index), by=by)

    def trainings(self) -> list[TrainingName]:
        """Trainings whose features were followed."""
        return self._ask(TrainingList, ("over-training",)).trainings

    def training(self, name: str) -> TrainingAnswer:
        """A dictionary's features through the training of its model."""
        return self._ask(TrainingAnswer, ("over-training", name))

    def twins(self, model: str, dictionary: str, feature: int) -> list[types.TwinAnswer]:
        """The features of compared dictionaries that are most like one, those found again first."""
        return self._ask(types.Twins, ("d", model, dictionary, feature, "twins")).twins

    def _ask(self, kind: type[Answer], parts: tuple[object, ...], **query: str) -> Answer:
        return self._transport.ask("GET", self._transport.address(*parts, **query), kind)
