"""Adjusting a cue: which words make a feature fire, and what rewording silences it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.pages.steer.answers import feature_name
from app.pages.steer.chat import schema as types
from app.pages.steer.chat.conversations import conversation_of
from app.pages.steer.chat.words import (
    WordSpan,
    expected_words,
    replaced,
    synonyms,
    without,
    words_of,
)
from app.store.types.catalogue import DictionaryView
from app.web.model import AddressedModel
from app.web.site import Site
from app.worker.client.readings import Occlusion, Reading
from sae_core.language_model.vocabulary import Vocabulary
from sae_core.text.chat.conversation import Conversation

N_WORDS = 5  # that are reworded
N_OTHERS = 3  # words of each kind in the place of one
MOST_WORDS = 60  # that are listed


@dataclass(frozen=True)
class _Read:
    """A conversation as a feature sees it: activations, 0 outside of what is said, float32 [n]."""

    said: Conversation
    reading: Reading
    levels: NDArray[np.float32]

    @property
    def activation(self) -> float:
        return float(self.levels.max(initial=0))


class CueStudy:
    """Answers one question about a cue.

    Args:
        site: asks the worker.
        model: whose conversation it is.
        question: what is asked.

    Raises:
        NotFound: there is no such dictionary.
        InvalidRequest: there is no such feature.
    """

    def __init__(self, site: Site, model: AddressedModel, question: types.CueQuestion) -> None:
        self._site = site
        self._model = model
        self._question = question
        self._view: DictionaryView = model.dictionary(question.dictionary)
        self._row = model.row(self._view, question.feature, "feature")
        self._vocabulary: Vocabulary = site.store.vocabulary(self._view.model_id)

    def answer(self) -> types.CueAnswer:
        """The words and the rewordings.

        Raises:
            InvalidRequest: there is no such turn.
        """
        base = self._read(self._question.turns)
        peak = int(base.levels.argmax())
        turn = self._turn(base, peak)
        content = self._question.turns[turn].content
        fires = base.activation > 0
        words = self._words(base, turn, peak) if fires else []
        tried = [
            proposal.model_copy(update={"activation": self._reread(turn, proposal.content)})
            for proposal in self._proposals(base, content, words)
        ]
        rewordings = [each for each in tried if each.activation < base.activation]
        rewordings.sort(key=lambda r: (r.activation, len(r.word)))
        return types.CueAnswer(
            feature=feature_name(self._row, self._model.typeset),
            turn=turn,
            token=self._model.typeset.visible[base.reading.ids[peak]] if fires else "",
            activation=base.activation,
            words=[
                types.CueWord(word=w.span.text, start=w.span.start, loss=w.loss)
                for w in words[:MOST_WORDS]
            ],
            rewordings=rewordings,
        )

    def _read(self, turns: tuple[types.SaidTurn, ...]) -> _Read:
        said = conversation_of(self._view, self._vocabulary, turns, answering=False)
        ids = tuple(said.tokens.tolist())
        reading = self._site.prompts.read(self._view, ids, [self._view])
        levels = np.zeros(len(said), np.float32)
        positions, values = reading.firings[0].of(self._question.feature)
        levels[positions] = values
        return _Read(said, reading, np.where(said.is_content, levels, np.float32(0)))

    def _reread(self, turn: int, content: str) -> float:
        turns = list(self._question.turns)
        turns[turn] = types.SaidTurn(role=turns[turn].role, content=content)
        return self._read(tuple(turns)).activation

    def _turn(self, base: _Read, peak: int) -> int:
        """The turn that may be reworded."""
        wanted = self._question.turn
        if wanted is None:
            return max(0, int(base.said.turn[peak]))
        if wanted >= len(self._question.turns):
            raise InvalidRequest(
                f"There are {len(self._question.turns)} turns; there is no turn {wanted}.", "turn"
            )
        return wanted

    def _words(self, base: _Read, turn: int, peak: int) -> list[_Weighed]:
        """The words of a turn, those that the feature cannot do without first."""
        occlusion = self._site.prompts.occlude(
            self._view, self._question.feature, base.reading.ids, peak, None
        )
        content = self._question.turns[turn].content
        places = self._places(base, turn, content)
        words = [
            _weighed(span, _bytes(content, span), places, occlusion, peak)
            for span in words_of(content)
        ]
        return sorted(words, key=lambda w: -math.inf if w.loss is None else -w.loss)

    def _places(self, base: _Read, turn: int, content: str) -> list[tuple[int, int, int]]:
        """Position, first and last byte in the content of each token of a turn."""
        here = np.flatnonzero(base.said.is_content & (base.said.turn == turn)).tolist()
        pieces = [self._vocabulary.pieces[base.reading.ids[at]] for at in here]
        joined, whole = b"".join(pieces), content.encode()
        start = joined.find(whole.strip())
        shift = (len(whole) - len(whole.lstrip())) - start if start >= 0 else 0
        places = []
        for at, piece in zip(here, pieces, strict=True):
            places.append((at, shift, shift + len(piece)))
            shift += len(piece)
        return places

    def _proposals(
        self, base: _Read, content: str, words: list[_Weighed]
    ) -> Iterator[types.Rewording]:
        """Each another content of the turn."""
        seen = {content}
        for word in [w for w in words if w.loss is None or w.loss > 0][:N_WORDS]:
            for source, other, made in self._others(base, content, word):
                if made.strip() and made not in seen:
                    seen.add(made)
                    yield types.Rewording(
                        content=made,
                        word=word.span.text,
                        replacement=other,
                        source=source,
                        activation=0.0,
                    )

    def _others(
        self, base: _Read, content: str, word: _Weighed
    ) -> Iterator[tuple[types.RewordingSource, str, str]]:
        yield "left out", "", without(content, word.span)
        for other in synonyms(word.span.text)[:N_OTHERS]:
            yield "synonym", other, replaced(content, word.span, other)
        if word.first > 0:
            ids = base.reading.predicted[word.first - 1].tolist()
            texts = [self._model.typeset.real[token] for token in ids]
            for other in expected_words(word.span.text, texts)[:N_OTHERS]:
                yield "model", other, replaced(content, word.span, other)


@dataclass(frozen=True)
class _Weighed:
    """A word, the position of its first token, and what the feature loses without it."""

    span: WordSpan
    first: int
    loss: float | None


def _bytes(content: str, span: WordSpan) -> tuple[int, int]:
    """Where a word's bytes begin and end."""
    start = len(content[: span.start].encode())
    return start, start + len(span.text.encode())


def _weighed(
    span: WordSpan,
    within: tuple[int, int],
    places: list[tuple[int, int, int]],
    occlusion: Occlusion,
    peak: int,
) -> _Weighed:
    own = [at for at, start, end in places if start < within[1] and end > within[0]]
    if peak in own:
        return _Weighed(span, own[0], None)
    known = dict(zip(occlusion.positions.tolist(), (-occlusion.changes).tolist(), strict=True))
    losses = [known[at] for at in own if at in known and not math.isnan(known[at])]
    return _Weighed(span, own[0] if own else 0, max(losses, default=0.0))
