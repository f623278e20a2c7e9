"""The search from Python. Twins of the JSON interface."""

from __future__ import annotations

from collections.abc import Sequence

from app.client.transport import Answer, Transport
from app.pages.search import schema as types


class SearchClient:
    """Finds features. Reached as `FeaturescopeClient.search`.

    Every method raises RequestFailed where the server refuses or cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def find(self, typed: str, dictionary: str = "", kind: str = "") -> types.SearchAnswer:
        """The features that fit a text, by kind.

        Args:
            typed: a number, words of labels and rules, or a token.
            dictionary: `model/dictionary` that is searched; empty: all of them.
            kind: the only kind of hits, 50 at the most; empty: 8 of each kind.
        """
        return self._ask(types.SearchAnswer, ("search",), q=typed, d=dictionary, k=kind)

    def by_meaning(self, typed: str, dictionary: str) -> types.MeaningAnswer:
        """The features of which something similar is said, in whatever words.

        Args:
            typed: what is looked for.
            dictionary: `model/dictionary`, for which `featurescope embed` was run.
        """
        return self._ask(types.MeaningAnswer, ("search", "meaning"), q=typed, d=dictionary)

    def by_example(
        self, dictionary: str, fire: Sequence[str], quiet: Sequence[str]
    ) -> types.ExampleAnswer:
        """The features that tell two sets of texts apart best, tested on held-out texts.

        Args:
            dictionary: `model/dictionary`.
            fire: texts on which the feature must fire, each on one line.
            quiet: texts on which it must not.
        """
        texts = {"fire": "\n".join(fire), "not": "\n".join(quiet)}
        return self._ask(types.ExampleAnswer, ("search", "example"), d=dictionary, **texts)

    def by_phrase(self, phrase: str, dictionary: str = "") -> types.PhraseAnswer:
        """The features that are most specific to some tokens of the harvested text.

        Args:
            phrase: as it stands in the text, blanks at its ends included.
            dictionary: `model/dictionary`; empty: the first that keeps its text.
        """
        return self._ask(types.PhraseAnswer, ("search", "phrase"), q=phrase, d=dictionary)

    def _ask(self, kind: type[Answer], parts: tuple[str, ...], **query: str) -> Answer:
        return self._transport.ask("GET", self._transport.address(*parts, **query), kind)
