"""Blind ratings from Python. Twins of the JSON interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.client.transport import Transport, question_of
from app.pages.rate import schema as types
from app.store.types.ratings import RaterKind


class RatingsClient:
    """Studies in which features are rated blind. Reached as `FeaturescopeClient.ratings`.

    Every method raises RequestFailed where the server refuses or cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def studies(self) -> types.Studies:
        """All studies, the newest first."""
        return self._transport.ask("GET", self._address(), types.Studies)

    def create(
        self,
        dictionaries: Sequence[str],
        features: int,
        seed: int = 0,
        title: str = "",
        author: str = "",
        matched: bool = False,
        firings: int = 1,
        every_mark: bool = False,
    ) -> types.StudySummary:
        """Draw features and make a study of them.

        Args:
            dictionaries: each as `model/dictionary`, all of one hook point.
            features: of each.
            seed: of the draw, and of all intervals of the results.
            title: what it is called; empty: how many items it has.
            author: who makes it.
            matched: whether each feature has one of like density in each other dictionary.
            firings: that a feature has at least.
            every_mark: whether contexts show all firings, by which features can be told from
                neurons, instead of only those they were drawn for.
        """
        question = question_of(
            types.StudyQuestion,
            dictionaries=[*dictionaries],
            features=features,
            seed=seed,
            title=title,
            author=author,
            matched=matched,
            firings=firings,
            every_mark=every_mark,
        )
        return self._transport.ask("POST", self._address(), types.StudySummary, question)

    def study(self, study: str, rater: str = "") -> types.StudyAnswer:
        """A study with its items in a rater's order, and how far everybody is."""
        return self._transport.ask("GET", self._address(study, rater=rater), types.StudyAnswer)

    def item(self, study: str, item: str, rater: str = "") -> types.ItemAnswer:
        """What a rater sees of an item."""
        address = self._address(study, "items", item, rater=rater)
        return self._transport.ask("GET", address, types.ItemAnswer)

    def rate(
        self,
        study: str,
        item: str,
        rater: str,
        scores: Mapping[str, int] | None,
        interpretation: str = "",
        kind: RaterKind = RaterKind.PERSON,
        seen: str | None = None,
    ) -> types.KeptRatingAnswer:
        """Rate an item.

        Args:
            study: id of the study.
            item: id of the item.
            rater: a name that the rater chose.
            scores: `confidence`, `activations`, `logits` and `specificity`; None: skip the item.
            interpretation: what the feature means.
            kind: what the rater is.
            seen: id of this rater's rating that is known; empty: none; None: any.
        """
        question = question_of(
            types.RatingQuestion,
            rater=rater,
            scores=None if scores is None else {**scores},
            interpretation=interpretation,
            kind=kind,
            seen=seen,
        )
        address = self._address(study, "items", item)
        return self._transport.ask("POST", address, types.KeptRatingAnswer, question)

    def unblind(self, study: str, rater: str) -> types.Unblinded:
        """Let a rater see the results; what the rater says from then on is not blind."""
        question = question_of(types.RaterQuestion, rater=rater)
        address = self._address(study, "unblind")
        return self._transport.ask("POST", address, types.Unblinded, question)

    def results(self, study: str, rater: str) -> types.StudyResultsAnswer:
        """What the blind ratings say; the rater has been unblinded before."""
        address = self._address(study, "results", rater=rater)
        return self._transport.ask("GET", address, types.StudyResultsAnswer)

    def csv(self, study: str, rater: str) -> str:
        """Every rating that was ever given, as a CSV file; likewise."""
        address = self._address(study, "ratings.csv", rater=rater)
        return self._transport.send("GET", address).text

    def put_away(self, study: str) -> None:
        """Put a study away; nothing in it is lost."""
        self._transport.send("DELETE", self._address(study))

    def restore(self, study: str) -> types.StudySummary:
        """Take a study up again."""
        return self._transport.ask("POST", self._address(study, "restore"), types.StudySummary)

    def _address(self, *parts: str, **query: str) -> str:
        return self._transport.address("rate", *parts, **query)
