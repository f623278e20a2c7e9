"""A worker that pretends to read prompts: its answers follow from the tokens alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.errors import FeaturescopeError, InvalidRequest
from app.worker.protocol.arrays import pack, pack_float32, pack_int32
from app.worker.protocol.events import (
    Attributed,
    Estimated,
    FiringsRead,
    MaximaRead,
    Occluded,
    OcclusionBase,
    Progress,
    Result,
    TextEmbedded,
    Together,
    TokensRead,
)
from app.worker.protocol.requests import (
    AblateRequest,
    AttributeRequest,
    CheckGraphRequest,
    DictionaryRef,
    EmbedRequest,
    GraphRequest,
    JudgeGraphRequest,
    MaximaRequest,
    OccludeRequest,
    ReadRequest,
    TogetherRequest,
    WorkRequest,
)
from tests import factories
from tests.app.pretend import circuits
from tests.factories import PIECES

LONGEST = 128
BOS = 0
_EXACT_AT_ONCE = 3


def tokens_of(prompt: str | tuple[int, ...], opens: bool = True) -> list[int]:
    """BOS, then the longest piece that fits, again and again; token 16 where none does.

    Token ids stay as they are for a model that opens no text with BOS.
    """
    if not isinstance(prompt, str):
        return [BOS, *(token for token in prompt if token != BOS)] if opens else [*prompt]
    rest, found = prompt.encode("utf-8", "surrogatepass"), [BOS]
    while rest:
        fits = [t for t, piece in enumerate(PIECES) if t != BOS and rest.startswith(piece)]
        best = max(fits, key=lambda t: len(PIECES[t]), default=None)
        found.append(16 if best is None else best)
        rest = rest[1 if best is None else len(PIECES[best]) :]
    return found


def d_sae_of(dictionary: DictionaryRef) -> int:
    return 8 if dictionary.path is None else 12


def firings_of(
    tokens: list[int], dictionary: DictionaryRef
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Three features on each token but BOS, how strongly follows from token and feature."""
    positions, features, values = [], [], []
    d_sae = d_sae_of(dictionary)
    for position, token in enumerate(tokens):
        if token == BOS:
            continue
        for feature in sorted({token % d_sae, (3 * token + 1) % d_sae, (position + 2) % d_sae}):
            positions.append(position)
            features.append(feature)
            values.append(0.25 + ((7 * token + 5 * feature) % 11) / 4)
    return (
        np.array(positions, "<i4"),
        np.array(features, "<i4"),
        np.array(values, "<f4"),
    )


def change_of(feature: int, position: int, target: int | None) -> float:
    """What ablating a feature does to a prediction."""
    return ((feature * 5 + position * 3 + (target or 0)) % 13 - 5) / 8


def predictions_of(tokens: list[int]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    n = len(tokens)
    ids = (np.array(tokens)[:, None] * 3 + np.arange(1, 6)[None]) % len(PIECES)
    return ids.astype("<i4"), np.tile(np.array([0.4, 0.2, 0.1, 0.05, 0.01], "<f4"), (n, 1))


@dataclass
class PretendPrompts:
    """Answers at once, or raises; knows what was asked and what was closed early.

    Attributes:
        error: what every request meets.
        breaks_after: events after which a request meets it; None: at once.
        step_seconds: between the exact effects.
        slope: what estimates are of the exact effects.
        asked: every request.
        closed: requests that were closed before their end.
    """

    error: FeaturescopeError | None = None
    breaks_after: int | None = None
    step_seconds: float = 0.0
    slope: float = 0.9
    asked: list[WorkRequest] = field(default_factory=list)
    closed: int = 0

    def reset(self) -> None:
        self.error, self.breaks_after, self.step_seconds, self.slope = None, None, 0.0, 0.9
        self.asked.clear()

    async def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        self.asked.append(request)
        sent = 0
        try:
            for event in self._answer(request):
                if self.error is not None and sent >= (self.breaks_after or 0):
                    raise self.error
                if sent and self.step_seconds:
                    await asyncio.sleep(self.step_seconds)
                sent += 1
                yield event
            if self.error is not None and self.breaks_after is None:
                raise self.error
        except (GeneratorExit, asyncio.CancelledError):
            self.closed += 1
            raise

    async def close(self) -> None:
        pass

    def _answer(self, request: WorkRequest) -> list[Result | Progress]:
        match request:
            case ReadRequest():
                return _read(request)
            case MaximaRequest():
                return [_maxima(index, text) for index, text in enumerate(request.texts)]
            case EmbedRequest():
                return [TextEmbedded(vector=pack_float32(np.eye(8)[len(request.text) % 8]))]
            case AblateRequest():
                return [
                    pack(index, _within(factories.effect(request.feature, len(context)), context))
                    for index, context in enumerate(request.contexts)
                ]
            case JudgeGraphRequest():
                return circuits.judged(request)
            case CheckGraphRequest():
                close = circuits.looked(request)
                return circuits.checked(request) if close is None else [close]
            case GraphRequest():
                return circuits.traced(request)
            case AttributeRequest():
                return _attribute(request, self.slope)
            case TogetherRequest():
                parts = [
                    change_of(one, request.position, request.target) for one in request.features
                ]
                return [Together(loss_change=0.8 * sum(parts))]
            case OccludeRequest():
                return _occlude(request)
        raise InvalidRequest("This worker only pretends.")


def _maxima(index: int, text: str) -> MaximaRead:
    """Feature 5 fires where there is a fox, 7 on the length, 2 everywhere."""
    fired = {2: 1.0, 5: float("fox" in text), 7: float(len(text) % 5)}
    kept = {feature: value for feature, value in fired.items() if value > 0}
    return MaximaRead(
        index=index,
        features=pack_int32(np.array(list(kept))),
        maxima=pack_float32(np.array(list(kept.values()))),
    )


def _read(request: ReadRequest) -> list[Result | Progress]:
    tokens = tokens_of(request.prompt, request.model.prepend_bos)
    n = len(tokens)
    if n > LONGEST:
        raise InvalidRequest(f"The prompt has {n} tokens, but the model takes at most {LONGEST}.")
    loss = np.array([float("nan"), *(0.5 + (t % 7) / 4 for t in tokens[1:])], "<f4")
    ids, shares = predictions_of(tokens)
    firings = [firings_of(tokens, dictionary) for dictionary in request.dictionaries]
    return [
        TokensRead(
            tokens=np.array(tokens, "<i4").tobytes(),
            loss=loss.tobytes(),
            predicted=ids.tobytes(),
            probabilities=shares.tobytes(),
        ),
        *(
            FiringsRead(
                index=index,
                positions=positions.tobytes(),
                features=features.tobytes(),
                values=values.tobytes(),
            )
            for index, (positions, features, values) in enumerate(firings)
        ),
    ]


def _within(effect, context):
    """A made-up effect whose positions lie inside a context."""
    kept = effect.positions < len(context)
    return type(effect)(*(getattr(effect, name)[kept] for name in effect.__dataclass_fields__))


def _attribute(request: AttributeRequest, slope: float) -> list[Result | Progress]:
    positions, features, _ = firings_of(list(request.tokens), request.dictionary)
    active = sorted(set(features[positions < request.position].tolist()))
    if request.features is not None:
        active = [feature for feature in active if feature in request.features]
    exact = {one: change_of(one, request.position, request.target) for one in active}
    parts = [active[i : i + _EXACT_AT_ONCE] for i in range(0, len(active), _EXACT_AT_ONCE)]
    return [
        Estimated(
            log_probability=-0.75,
            features=np.array(active, "<i4").tobytes(),
            loss_change=np.array([slope * exact[one] for one in active], "<f4").tobytes(),
        ),
        *(
            Attributed(
                features=np.array(part, "<i4").tobytes(),
                loss_change=np.array([exact[one] for one in part], "<f4").tobytes(),
            )
            for part in parts
        ),
    ]


def _occlude(request: OccludeRequest) -> list[Result | Progress]:
    positions, features, values = firings_of(list(request.tokens), request.dictionary)
    mine = features == request.feature
    where, strengths = positions[mine], values[mine]
    position = request.position
    if position is None:
        position = int(where[strengths.argmax()]) if len(where) else 1
    base = float(strengths[where == position].sum())
    n = len(request.tokens)
    without = np.array([base * (1 - 0.5 / (1 + abs(position - p))) for p in range(1, n)], "<f4")
    without[position - 1] = np.nan
    if position >= 2:
        without[position - 2] = base * 1.25
    return [
        OcclusionBase(position=position, activation=base),
        Occluded(positions=np.arange(1, n, dtype="<i4").tobytes(), activations=without.tobytes()),
    ]
