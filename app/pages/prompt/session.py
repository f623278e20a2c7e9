"""What an address of the prompt page asks, answered in numbers by the store and the worker."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.pages.prompt.active_features import ActiveFeatures, active_features
from app.pages.prompt.opening import alike, opening_sentence
from app.pages.prompt.query import FeatureName, PromptQuery, Sort, check_typed
from app.pages.prompt.ranking import EffectRanking, ranking
from app.store.types.catalogue import DictionaryView
from app.web.model import AddressedModel
from app.web.search.named_tokens import neutral_token, token_of
from app.worker.client.prompts import PromptWork
from app.worker.client.readings import Occlusion, Reading
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.protocol.requests import MOST_DICTIONARIES, AttributeRequest, Tokens
from sae_core.harvest.records import ContextEffect
from sae_core.language_model.vocabulary import Vocabulary


@dataclass(frozen=True)
class Target:
    """The prediction in question.

    Attributes:
        position: of the predicted token; the number of tokens for the one after the prompt.
        token: whose probability is explained.
        actual: whether it is the token that stands there.
        likeliest: whether it is the likeliest one after the prompt, for want of another.
    """

    position: int
    token: int
    actual: bool
    likeliest: bool


@dataclass(frozen=True)
class TogetherResult:
    """A set of one dictionary's features, ablated at once and one by one.

    Attributes:
        features: which ones.
        together: joint change of the prediction's log-probability, nats.
        singles: what each does alone, in their order.
    """

    features: tuple[FeatureName, ...]
    together: float
    singles: tuple[float, ...]


def target_at(
    reading: Reading, vocabulary: Vocabulary, position: int | None, token: str | int | None
) -> Target:
    """A prediction of a prompt.

    Args:
        reading: the prompt.
        vocabulary: the tokens of the prompt's model.
        position: of the predicted token; None, or the number of tokens: the one after the prompt.
        token: by id or text; None: the one that stands there, or the likeliest one.

    Raises:
        InvalidRequest: there is no such place, nothing predicts it, or there is no such token.
    """
    n = len(reading)
    position = n if position is None else position
    if not 1 <= position <= n:
        raise InvalidRequest(
            f"There is no prediction of a token {position}: tokens 1 to {n - 1} are predicted, "
            f"and {n} stands for the one after the prompt."
        )
    standing = int(reading.tokens[position]) if position < n else None
    if token is None:
        likeliest = int(reading.predicted[position - 1][0])
        chosen = likeliest if standing is None else standing
    else:
        chosen = token_of(vocabulary, token)
    return Target(position, chosen, chosen == standing, standing is None and token is None)


def attribute_request(
    view: DictionaryView, tokens: Tokens, target: Target, features: Iterable[int] | None = None
) -> AttributeRequest:
    """What to ask the worker about a prediction: these features, or all that fire before it."""
    return AttributeRequest(
        model=model_ref(view),
        dictionary=dictionary_ref(view),
        tokens=tokens,
        position=target.position,
        target=target.token,
        features=None if features is None else tuple(sorted(set(features))),
    )


class PromptSession:
    """Answers, each worked out when first asked for.

    Every method may raise what the store and the worker's client raise.

    Args:
        model: what is asked about, with how often and how strongly its features fire.
        work: what the worker says.
        query: what is asked.
    """

    def __init__(self, model: AddressedModel, work: PromptWork, query: PromptQuery) -> None:
        self.model = model
        self.work = work
        self.vocabulary = model.typeset.vocabulary
        self.query = query
        self._readings: dict[str, Reading] = {}

    @cached_property
    def chosen(self) -> dict[str, DictionaryView]:
        """The dictionaries that are read: those named and the chosen feature's, or the one that
        explains most.

        One text is read in one way: those are left out that would have it opened otherwise.
        """
        known = self.model.dictionaries
        named = [name for name in self.query.dictionaries if name in known]
        names = named[:MOST_DICTIONARIES]
        leading = names[0] if names else self.model.leading.name
        if (feature := self.query.feature) and feature.dictionary in known:
            leading = feature.dictionary
        names = [*dict.fromkeys([*names, leading])][-MOST_DICTIONARIES:]
        return alike({name: known[name] for name in names}, known[leading])

    @property
    def sort(self) -> Sort:
        """What features are ordered by. Activations of several dictionaries have units of their
        own: where nothing was chosen these are ordered by share of the maximum and rarity."""
        return self.query.sort or ("rarity" if len(self.chosen) > 1 else "activation")

    @property
    def opening(self) -> str:
        """Whether BOS opens the prompt, and which dictionaries would have it otherwise."""
        read = list(self.chosen.values())
        every = self.model.dictionaries
        same = alike(every, read[0])
        return opening_sentence(self.vocabulary, read, [name for name in every if name not in same])

    @property
    def reading(self) -> Reading:
        """The prompt.

        Raises:
            InvalidRequest: it is empty or too long.
        """
        text = self.query.text or ""
        check_typed(text)
        return self._read(text)

    @property
    def second(self) -> Reading:
        """The prompt that it is compared with.

        Raises:
            InvalidRequest: it is empty or too long.
        """
        check_typed(self.query.other, "other prompt")
        return self._read(self.query.other)

    # Not a cached_property: Python 3.11 computes only one of a kind at a time, whoever's it is.
    def _read(self, text: str) -> Reading:
        if text not in self._readings:
            views = list(self.chosen.values())
            self._readings[text] = self.work.read(views[0], text, views)
        return self._readings[text]

    def active(self, reading: Reading, token: int | None = None) -> ActiveFeatures:
        """What fires on a prompt, or on one of its tokens."""
        scales = [self.model.store.scales(view) for view in self.chosen.values()]
        return active_features(list(self.chosen), reading.firings, scales, token)

    def check_dictionaries(self) -> None:
        """Refuse names of dictionaries that the model does not have.

        Raises:
            NotFound: naming those that it has.
        """
        for name in self.query.dictionaries:
            self.model.dictionary(name)

    def token(self) -> int | None:
        """The chosen position; the number of tokens for the one after the prompt.

        Raises:
            InvalidRequest: the prompt has no such place.
        """
        position = self.query.token
        if position is not None and position > len(self.reading):
            raise InvalidRequest(
                f"There is no token {position}: the prompt has {len(self.reading)}, from 0; "
                f"{len(self.reading)} stands for the one after it."
            )
        return position

    def known(self, feature: FeatureName) -> DictionaryView:
        """The dictionary of a feature that exists.

        Raises:
            NotFound: there is no such dictionary.
            InvalidRequest: it has no such feature.
        """
        return self.model.dictionary(feature.dictionary, feature.index)

    def ablation(self, feature: FeatureName, readings: Sequence[Reading]) -> list[ContextEffect]:
        """What removing a feature does to some prompts."""
        return self.work.ablate(
            self.known(feature), feature.index, [reading.ids for reading in readings]
        )

    def replacement(self) -> int | None:
        """The token that replaces others to see why a feature fires; None: they are left out.

        Raises:
            InvalidRequest: what was typed is no token.
        """
        if self.query.why != "replaced":
            return None
        if self.query.neutral:
            return token_of(self.vocabulary, self.query.neutral)
        if (token := neutral_token(self.vocabulary)) is None:
            raise InvalidRequest("This model has no neutral token: type the one to be put in.")
        return token

    def occlusion(self, feature: FeatureName) -> Occlusion:
        """How a feature's activation hangs on each token: read at the chosen token where it fires
        there, else at its strongest."""
        dictionary, token = self.known(feature), self.query.token
        where, _ = self.firings(self.reading, feature)
        return self.work.occlude(
            dictionary,
            feature.index,
            self.reading.ids,
            token if token in where.tolist() else None,
            self.replacement(),
        )

    def target(self) -> Target | None:
        """The prediction in question; None: none is.

        Raises:
            InvalidRequest: see `target_at`.
        """
        if self.query.target is None and not self.query.instead:
            return None
        instead = self.query.instead or None
        return target_at(self.reading, self.vocabulary, self.query.target, instead)

    def requests(self, target: Target) -> dict[str, AttributeRequest]:
        """What to ask the worker, by dictionary."""
        tokens = self.reading.ids
        return {name: attribute_request(view, tokens, target) for name, view in self.chosen.items()}

    def ranking(self, target: Target, wait: bool) -> EffectRanking:
        """The active features by their effect on the prediction: all of them, or, where nobody
        wants to wait, what is remembered."""
        ask = self.work.attribution if wait else self.work.known_attribution
        answers = {name: ask(request) for name, request in self.requests(target).items()}
        known = {name: answer for name, answer in answers.items() if answer is not None}
        return ranking(known, list(answers))

    def together(self, target: Target) -> list[TogetherResult]:
        """What the set of features does at once, dictionary by dictionary: they may lie at
        different hook points.

        Raises:
            NotFound: there is no such dictionary.
            InvalidRequest: it has no such feature.
        """
        sets: dict[str, list[FeatureName]] = {}
        for feature in self.query.together:
            self.known(feature)
            sets.setdefault(feature.dictionary, []).append(feature)
        results, tokens = [], self.reading.ids
        for name, features in sets.items():
            view, indices = self.model.dictionary(name), [feature.index for feature in features]
            change = self.work.together(view, tokens, target.position, target.token, indices)
            single = self.work.known_attribution(attribute_request(view, tokens, target))
            if single is None or not single.complete:
                request = attribute_request(view, tokens, target, indices)
                single = self.work.attribution(request)
            exact = (single.of(index)[1] for index in indices)
            alone = tuple(0.0 if math.isnan(effect) else effect for effect in exact)
            results.append(TogetherResult(tuple(features), change, alone))
        return results

    def firings(
        self, reading: Reading, feature: FeatureName
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Where a feature of a dictionary that was read fires on a prompt, and how strongly."""
        place = list(self.chosen).index(feature.dictionary)
        return reading.firings[place].of(feature.index)
