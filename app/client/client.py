"""The client: prompts, ablation, attribution and steering."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import httpx
from pydantic import BaseModel, TypeAdapter

from app.client.audits import AuditClient
from app.client.automata import AutomataClient
from app.client.chats import ChatsClient
from app.client.comparisons import ComparisonsClient
from app.client.graphs import GraphsClient
from app.client.maps import MapsClient
from app.client.ratings import RatingsClient
from app.client.searches import SearchClient
from app.client.transport import Answer, RequestFailed, Transport, failures, question_of, refused
from app.client.written import LabelsClient, ListsClient
from app.pages.feature import schema as feature_types
from app.pages.prompt import schema as types
from app.pages.prompt.differences import KINDS, Difference, compare
from app.pages.prompt.query import FeatureName
from app.pages.steer import schema as steer_types
from app.pages.steer.questions import ContinuationSettings, DoseQuestion, Edit, SteerQuestion
from app.web.live.events import DoneEvent, FailedEvent
from app.worker.protocol.requests import SWEPT, SteerMode

Prompt = str | Sequence[int]
Sort = Literal["activation", "share", "rarity"]
LOST = "The connection to {address} was lost before the answer was complete."


class PromptRead(types.Activations):
    """A prompt, and all that fires on it."""

    def active(
        self, sort: Sort = "activation", position: int | None = None
    ) -> list[tuple[str, types.ActiveFeature]]:
        """Dictionary and feature, largest first, equal ones by dictionary and index.

        Args:
            sort: what they are ordered by.
            position: of a token; only what fires there, with `activation`, `share` and `rarity` of
                that token. None, or beyond the prompt: the whole prompt.
        """
        rows = [
            (place, here)
            for place, dictionary in enumerate(self.dictionaries)
            for feature in dictionary.features
            if (here := _at(feature, position, len(self.tokens))) is not None
        ]
        rows.sort(key=lambda row: (-getattr(row[1], sort), row[0], row[1].index))
        return [(self.dictionaries[place].name, here) for place, here in rows]

    def compare(self, other: PromptRead) -> list[Difference]:
        """What differs on another prompt that was read with the same dictionaries: by kind, the
        largest change first."""
        pairs = zip(self.dictionaries, other.dictionaries, strict=True)
        by_kind = compare([first.name for first, _ in pairs], self._shares(), other._shares())
        return [difference for kind in KINDS for difference in by_kind[kind]]

    def _shares(self) -> dict[FeatureName, float]:
        return {
            FeatureName(dictionary.name, feature.index): feature.share
            for dictionary in self.dictionaries
            for feature in dictionary.features
        }


class FeaturescopeClient:
    """Asks a server that runs. Its connections close with `close`, or at the end of a `with`.

    Every method raises RequestFailed where the server refuses or cannot be reached.

    Args:
        base_url: where it serves.
        timeout: longest silence, seconds.
        http: another client to send with.

    Attributes:
        labels: what people say of features.
        audit: evidence about what features do.
        search: features by number, words, tokens and examples.
        maps: where they lie in two dimensions.
        comparisons: what dictionaries have in common.
        automata: features that write tokens on which others fire next.
        graphs: what predictions are made of.
        chats: conversations, answered twice; their features, traits and cues.
        lists: features that they put together.
        ratings: studies in which features are rated blind.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        timeout: float = 120.0,
        http: httpx.Client | None = None,
    ) -> None:
        self._http = http or httpx.Client(timeout=timeout)
        self._transport = Transport(base_url.rstrip("/"), self._http)
        self.labels = LabelsClient(self._transport)
        self.audit = AuditClient(self._transport)
        self.search = SearchClient(self._transport)
        self.comparisons = ComparisonsClient(self._transport)
        self.automata = AutomataClient(self._transport, self._events)
        self.chats = ChatsClient(self._transport, self._stream)
        self.graphs = GraphsClient(self._transport, self._stream)
        self.lists = ListsClient(self._transport)
        self.maps = MapsClient(self._transport)
        self.ratings = RatingsClient(self._transport)

    def activations(
        self, model: str, prompt: Prompt, dictionaries: Sequence[str] | None = None
    ) -> PromptRead:
        """All features that fire on a prompt: of these dictionaries, or of all of the model."""
        question = question_of(
            types.ActivationsQuestion,
            prompt=_prompt(prompt),
            dictionaries=None if dictionaries is None else (*dictionaries,),
        )
        return self._post(model, "activations", question, PromptRead)

    def read(self, address: str) -> Any:
        """What a page shows, as its JSON twin says it.

        Args:
            address: of the page on this server, from the slash on: /d/demo/mlp-4096/12.

        Raises:
            RequestFailed: the server refuses, or does not answer.
        """
        whole = f"{self._transport.address()}/{address.lstrip('/')}"
        answer = self._transport.send("GET", whole.rstrip("/"))
        with failures(whole):
            return TypeAdapter(Any).validate_json(answer.content)

    def rule(self, model: str, dictionary: str, feature: int) -> feature_types.Rule:
        """What a feature's firings were learnt to depend on, and how well that says where it fires.

        `sae_core.rules.predicate.predicate_of_json` makes its predicate executable again.
        """
        address = self._transport.address("d", model, dictionary, feature, "rule")
        return self._transport.ask("GET", address, feature_types.Rule)

    def ablate(self, model: str, prompt: Prompt, dictionary: str, feature: int) -> types.Ablation:
        """What removing a feature does to the prediction of each token."""
        question = question_of(
            types.AblationQuestion, prompt=_prompt(prompt), dictionary=dictionary, feature=feature
        )
        return self._post(model, "ablation", question, types.Ablation)

    def attribute(
        self,
        model: str,
        prompt: Prompt,
        dictionary: str,
        position: int | None = None,
        target: int | str | None = None,
        features: Sequence[int] | None = None,
    ) -> Generator[types.AttributionEvent, None, None]:
        """Which features are responsible for a prediction: estimates, then exact changes as they
        are computed. Closing the iterator ends the work.

        Args:
            model: name of the model.
            prompt: text or token ids.
            dictionary: name of the dictionary.
            position: of the predicted token; None: the one after the prompt.
            target: the predicted token; None: the one that stands there, or the likeliest one.
            features: only these; None: all that fire before the position.
        """
        question = question_of(
            types.AttributionQuestion,
            prompt=_prompt(prompt),
            dictionary=dictionary,
            position=position,
            target=target,
            features=None if features is None else (*features,),
        )
        return self._stream(model, "attribution", question, TypeAdapter(types.AttributionAnswer))

    def together(
        self,
        model: str,
        prompt: Prompt,
        dictionary: str,
        features: Sequence[int],
        position: int | None = None,
        target: int | str | None = None,
    ) -> types.TogetherAnswer:
        """What ablating features at once does to a prediction, beside each of them alone."""
        question = question_of(
            types.TogetherQuestion,
            prompt=_prompt(prompt),
            dictionary=dictionary,
            position=position,
            target=target,
            features=(*features,),
        )
        return self._post(model, "together", question, types.TogetherAnswer)

    def occlude(
        self,
        model: str,
        prompt: Prompt,
        dictionary: str,
        feature: int,
        position: int | None = None,
        replacement: int | str | None = None,
    ) -> types.OcclusionAnswer:
        """How a feature's activation changes when each token is left out or replaced.

        Args:
            model: name of the model.
            prompt: text or token ids.
            dictionary: name of the dictionary.
            feature: its index.
            position: where it is read; None: where it is strongest.
            replacement: put in each token's place; None: the token is left out.
        """
        question = question_of(
            types.OcclusionQuestion,
            prompt=_prompt(prompt),
            dictionary=dictionary,
            feature=feature,
            position=position,
            replacement=replacement,
        )
        return self._post(model, "occlusion", question, types.OcclusionAnswer)

    def steer(
        self,
        model: str,
        prompt: str,
        edits: Sequence[Edit] = (),
        traits: str | None = "",
        **settings: Unpack[ContinuationSettings],
    ) -> Generator[steer_types.SteerEvent, None, None]:
        """Continue a prompt twice, unsteered and steered: tokens as they are drawn, then what is
        known of them. Closing the iterator ends the work.

        Args:
            model: name of the model.
            prompt: text.
            edits: the features that are pushed, and how far.
            traits: the dictionary whose features are listed for each token; empty: that of the
                first edit, else the model's first; None: no traits.
            settings: where edits apply, how many tokens, how they are drawn.
        """
        question = question_of(
            SteerQuestion, prompt=prompt, edits=(*edits,), traits=traits, **settings
        )
        return self._stream(model, "steer", question, TypeAdapter(steer_types.SteerAnswer))

    def dose(
        self,
        model: str,
        prompt: str,
        dictionary: str,
        feature: int,
        mode: SteerMode = SteerMode.ADD,
        strengths: Sequence[float] = SWEPT,
        watched: int = 3,
        **settings: Unpack[ContinuationSettings],
    ) -> Generator[steer_types.DoseEvent, None, None]:
        """What each strength of one feature does to the text. Closing the iterator ends the work.

        Args:
            model: name of the model.
            prompt: text.
            dictionary: name of the dictionary.
            feature: its index.
            mode: how it is pushed.
            strengths: in multiples of its largest activation in the harvest.
            watched: how many of its strongest logit tokens are followed.
            settings: where edits apply, how many tokens, how they are drawn.
        """
        question = question_of(
            DoseQuestion,
            prompt=prompt,
            dictionary=dictionary,
            feature=feature,
            mode=mode,
            strengths=(*strengths,),
            watched=watched,
            **settings,
        )
        return self._stream(model, "dose", question, TypeAdapter(steer_types.DoseAnswer))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _address(self, model: str, name: str) -> str:
        return self._transport.address("m", model, name)

    def _post(self, model: str, name: str, question: BaseModel, kind: type[Answer]) -> Answer:
        """One question, one answer."""
        return self._transport.ask("POST", self._address(model, name), kind, question)

    def _stream(
        self, model: str, name: str, question: BaseModel, adapter: TypeAdapter[Any]
    ) -> Generator[Any, None, None]:
        """One question of a model, many events."""
        yield from self._events(self._address(model, name), question, adapter)

    def _events(
        self, address: str, question: BaseModel | None, adapter: TypeAdapter[Any]
    ) -> Generator[Any, None, None]:
        """What comes of a question, those events that end a stream left out."""
        body = {} if question is None else question.model_dump(mode="json")
        with failures(address), self._http.stream("POST", address, json=body) as answer:
            if answer.status_code != httpx.codes.OK:
                answer.read()
                raise refused(answer)
            for line in answer.iter_lines():
                if not line.startswith("data:"):
                    continue
                event = adapter.validate_json(line.removeprefix("data:"))
                if isinstance(event, DoneEvent):
                    return
                if isinstance(event, FailedEvent):
                    raise RequestFailed(event.detail, event.status, event.retry_after)
                yield event
            raise RequestFailed(LOST.format(address=address), 0)


def _prompt(prompt: Prompt) -> str | tuple[int, ...]:
    return prompt if isinstance(prompt, str) else tuple(prompt)


def _at(
    feature: types.ActiveFeature, position: int | None, n_tokens: int
) -> types.ActiveFeature | None:
    """A feature as it is at a position; None where it does not fire there."""
    if position is None or position >= n_tokens:
        return feature
    if position not in feature.positions:
        return None
    value = feature.values[feature.positions.index(position)]
    scale = value / feature.activation
    changed = {
        "activation": value,
        "share": feature.share * scale,
        "rarity": feature.rarity * scale,
        "total": value,
        "position": position,
    }
    return feature.model_copy(update=changed)
