"""What the worker says of a prompt, unpacked: tokens, predictions, firings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.worker.protocol.arrays import unpack_float32, unpack_int32
from app.worker.protocol.events import (
    FiringsRead,
    MaximaRead,
    Occluded,
    OcclusionBase,
    Progress,
    Result,
    TokensRead,
)
from app.worker.protocol.monitors import LevelsRead


@dataclass(frozen=True)
class PromptFirings:
    """Where a dictionary fires on a prompt, special tokens left out, by position.

    Attributes:
        positions: int32 [n].
        features: int32 [n].
        values: activations, model units, float32 [n].
    """

    positions: NDArray[np.int32]
    features: NDArray[np.int32]
    values: NDArray[np.float32]

    def of(self, feature: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Positions and activations of one feature."""
        here = self.features == feature
        return self.positions[here], self.values[here]


@dataclass(frozen=True)
class Reading:
    """A prompt as the model sees it.

    Attributes:
        tokens: ids, BOS first where the model has one, int32 [n].
        loss: how surprising each token is, nats, float32 [n]; NaN for the first.
        predicted: the likeliest tokens after each, int32 [n, k].
        probabilities: of these predictions, float32 [n, k].
        firings: what fires, for each dictionary that was asked for, in order.
    """

    tokens: NDArray[np.int32]
    loss: NDArray[np.float32]
    predicted: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    firings: tuple[PromptFirings, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens as plain numbers, as requests take them."""
        return tuple(self.tokens.tolist())

    @property
    def mean_loss(self) -> float:
        """Nats per predicted token; NaN where there is none."""
        return float(self.loss[1:].mean()) if len(self.loss) > 1 else float("nan")

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.predicted.nbytes * 3 + sum(fired.values.nbytes * 3 for fired in self.firings)


@dataclass(frozen=True)
class Occlusion:
    """How a feature's activation at one position changes when single tokens are taken away.

    Attributes:
        position: where it is read.
        activation: with nothing taken away.
        positions: which token is missing, ascending, int32 [n].
        activations: without it, float32 [n]; NaN where nothing is left to read.
    """

    position: int
    activation: float
    positions: NDArray[np.int32]
    activations: NDArray[np.float32]

    @property
    def changes(self) -> NDArray[np.float32]:
        """Activation without each token minus that with all; NaN as in `activations`."""
        changes: NDArray[np.float32] = self.activations - np.float32(self.activation)
        return changes


@dataclass(frozen=True)
class TextMaxima:
    """The largest activation of every feature on each of some texts.

    Attributes:
        texts: of each text, the features that fire, ascending, int32 [n], and their largest
            activations there, model units, float32 [n].
    """

    texts: tuple[tuple[NDArray[np.int32], NDArray[np.float32]], ...]

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return sum(features.nbytes + maxima.nbytes for features, maxima in self.texts)


def text_maxima(events: Iterable[Result | Progress], n_texts: int) -> TextMaxima:
    """What a MaximaRequest's events say.

    Raises:
        ValueError: they do not fit together.
    """
    read: dict[int, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}
    for event in events:
        if isinstance(event, MaximaRead):
            features, maxima = unpack_int32(event.features), unpack_float32(event.maxima)
            if len(features) != len(maxima) or (np.diff(features) <= 0).any():
                raise ValueError("columns of the maxima differ, or are not in order")
            read[event.index] = features, maxima
    if sorted(read) != list(range(n_texts)):
        raise ValueError(f"{n_texts} texts, but maxima on {sorted(read)}")
    return TextMaxima(tuple(read[index] for index in range(n_texts)))


def reading(events: Iterable[Result | Progress], n_dictionaries: int) -> Reading:
    """What a ReadRequest's events say.

    Raises:
        ValueError: they do not fit together.
    """
    # Sort the events.
    prompt: TokensRead | None = None
    firings: dict[int, PromptFirings] = {}
    for event in events:
        if isinstance(event, TokensRead):
            prompt = event
        elif isinstance(event, FiringsRead):
            firings[event.index] = _firings(event)
    if prompt is None or sorted(firings) != list(range(n_dictionaries)):
        raise ValueError("the answer has no prompt, or not one set of firings a dictionary")
    # Unpack the columns, and refuse what does not fit together.
    tokens, loss = unpack_int32(prompt.tokens), unpack_float32(prompt.loss)
    predicted, probabilities = unpack_int32(prompt.predicted), unpack_float32(prompt.probabilities)
    n = len(tokens)
    if n == 0 or len(loss) != n or len(predicted) % n or len(predicted) != len(probabilities):
        raise ValueError("columns of the prompt differ in length")
    if any(
        len(fired.positions) and not 0 <= fired.positions.max() < n for fired in firings.values()
    ):
        raise ValueError("a feature fires beyond the prompt")
    return Reading(
        tokens,
        loss,
        predicted.reshape(n, -1),
        probabilities.reshape(n, -1),
        tuple(firings[index] for index in range(n_dictionaries)),
    )


@dataclass(frozen=True)
class MonitoredText:
    """What monitors are on a text.

    Attributes:
        tokens: ids, special ones left out, int32 [n].
        levels: of each monitor, float32 [monitors, n].
        level: of each monitor on the whole text; NaN: it has no token.
    """

    tokens: NDArray[np.int32]
    levels: NDArray[np.float32]
    level: tuple[float, ...]


def monitored_texts(events: Sequence[Result | Progress], n: int) -> list[MonitoredText]:
    """The worker's events about monitors on n texts.

    Raises:
        ValueError: they make no sense.
    """
    texts = []
    for event in events:
        if isinstance(event, LevelsRead):
            tokens, there = unpack_int32(event.tokens), np.frombuffer(event.is_text, "i1") > 0
            levels = unpack_float32(event.levels).reshape(len(event.level), len(tokens))
            texts.append(MonitoredText(tokens[there], levels[:, there], event.level))
    if len(texts) != n:
        raise ValueError("another number of texts than was asked for")
    return texts


def occlusion(events: Iterable[Result | Progress]) -> Occlusion:
    """What an OccludeRequest's events say.

    Raises:
        ValueError: they do not fit together.
    """
    base: OcclusionBase | None = None
    positions, activations = [], []
    for event in events:
        if isinstance(event, OcclusionBase):
            base = event
        elif isinstance(event, Occluded):
            positions.append(unpack_int32(event.positions))
            activations.append(unpack_float32(event.activations))
    if base is None:
        raise ValueError("the answer does not say the activation that nothing is left out of")
    where = np.concatenate(positions) if positions else np.zeros(0, np.int32)
    values = np.concatenate(activations) if activations else np.zeros(0, np.float32)
    if len(where) != len(values):
        raise ValueError("columns of the occlusion differ in length")
    order = np.argsort(where, kind="stable")
    return Occlusion(base.position, base.activation, where[order], values[order])


def _firings(event: FiringsRead) -> PromptFirings:
    positions, features = unpack_int32(event.positions), unpack_int32(event.features)
    values = unpack_float32(event.values)
    if not len(positions) == len(features) == len(values):
        raise ValueError("columns of the firings differ in length")
    return PromptFirings(positions, features, values)
