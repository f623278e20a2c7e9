"""Conversations from Python. Twins of the JSON interface."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Literal, TypedDict

from pydantic import TypeAdapter
from typing_extensions import Unpack

from app.client.transport import Answer, Transport, question_of
from app.pages.steer.chat import schema as types
from app.pages.steer.questions import Edit
from app.worker.protocol.chats import ChatScope

Stream = Callable[[str, str, Any, TypeAdapter[Any]], Generator[Any, None, None]]
Turns = Sequence[types.SaidTurn | Mapping[str, str]]


class ChatSettings(TypedDict, total=False):
    """How answers are drawn, and which tokens are steered."""

    scope: ChatScope | Literal["everything", "contents", "answer"]
    n_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    alone: bool


class ChatsClient:
    """Conversations with a model. Reached as `FeaturescopeClient.chats`.

    Turns are pairs of `role` and `content`. Every method raises RequestFailed where the server
    refuses or cannot be reached.
    """

    def __init__(self, transport: Transport, stream: Stream) -> None:
        self._transport = transport
        self._stream = stream

    def answer(
        self,
        model: str,
        turns: Turns,
        edits: Sequence[Edit] = (),
        traits: Sequence[str] = (),
        **settings: Unpack[ChatSettings],
    ) -> Generator[types.ChatEvent, None, None]:
        """Answer a conversation twice, unsteered and steered: tokens as they are drawn, then what
        is known of them. Closing the iterator ends the work.

        Args:
            model: name of the model.
            turns: who said what.
            edits: the features that are pushed, and how far.
            traits: names of lists of features, whose levels are told of each answer.
            settings: where edits apply, how many tokens, how they are drawn; `alone`: only the
                steered answer.
        """
        question = question_of(
            types.ChatQuestion, turns=(*turns,), edits=(*edits,), traits=(*traits,), **settings
        )
        return self._stream(model, "chat", question, TypeAdapter(types.ChatAnswer))

    def reading(
        self,
        model: str,
        turns: Turns,
        dictionary: str = "",
        traits: Sequence[str] = (),
        answering: bool = False,
    ) -> types.ConversationReading:
        """A conversation token by token, with its features and the levels of traits.

        Args:
            model: name of the model.
            turns: who said what.
            dictionary: whose features are listed; empty: the leading one.
            traits: names of lists of features.
            answering: whether the head of the next answer stands at the end.
        """
        question = question_of(
            types.ReadingQuestion,
            turns=(*turns,),
            dictionary=dictionary,
            traits=(*traits,),
            answering=answering,
        )
        return self._ask(model, "reading", question, types.ConversationReading)

    def cue(
        self, model: str, turns: Turns, dictionary: str, feature: int, turn: int | None = None
    ) -> types.CueAnswer:
        """Which words make a feature fire, and what rewording silences it.

        Args:
            model: name of the model.
            turns: who said what.
            dictionary: the feature's.
            feature: its index.
            turn: that may be reworded, from 0; None: the one in which it fires most.
        """
        question = question_of(
            types.CueQuestion, turns=(*turns,), dictionary=dictionary, feature=feature, turn=turn
        )
        return self._ask(model, "cue", question, types.CueAnswer)

    def cue_answer(
        self, model: str, turns: Turns, dictionary: str, feature: int, n_tokens: int = 16
    ) -> types.CueAnswerStart:
        """How the unsteered model begins to answer, and how strongly a feature fires meanwhile.

        Args:
            model: name of the model.
            turns: who said what, with the rewording that is tried.
            dictionary: the feature's.
            feature: its index.
            n_tokens: of the answer, at most.
        """
        question = question_of(
            types.CueAnswerQuestion,
            turns=(*turns,),
            dictionary=dictionary,
            feature=feature,
            n_tokens=n_tokens,
        )
        return self._ask(model, "cue/answer", question, types.CueAnswerStart)

    def lines(self, model: str, lines: str) -> types.Conversed:
        """A conversation in JSON lines, checked.

        Args:
            model: name of the model.
            lines: a turn a line.
        """
        question = question_of(types.LinesQuestion, lines=lines)
        return self._ask(model, "lines", question, types.Conversed)

    def _ask(self, model: str, what: str, question: Any, answer: type[Answer]) -> Answer:
        address = self._transport.address("m", model, "chat", *what.split("/"))
        return self._transport.ask("POST", address, answer, question)
