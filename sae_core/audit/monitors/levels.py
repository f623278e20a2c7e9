"""Levels of a monitor on texts; the module that reads a model for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.audit.monitors.monitor import Monitor, Numbers
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import MonitorError
from sae_core.interventions.prompt import check_feature, encoded
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel

TOKENS_AT_ONCE = 4096  # of one batch, padding included


class LevelReader:
    """A monitor on its model: from activations to levels.

    Attributes:
        monitor: what is read.
        point: where it is read.
    """

    def __init__(self, model: LanguageModel, dictionary: Dictionary, monitor: Monitor) -> None:
        """Check that they fit each other.

        Raises:
            HookPointError: model and dictionary do not belong together.
            PromptError: the dictionary has no such feature.
            MonitorError: the direction is of another width.
        """
        self.monitor = monitor
        self.point: HookPoint = model.hook_point(dictionary.hook_point, dictionary.d_in)
        for feature, _ in monitor.members:
            check_feature(dictionary, feature)
        if monitor.direction and len(monitor.direction) != dictionary.d_in:
            raise MonitorError(
                f"The direction has {len(monitor.direction)} numbers, but the activation at "
                f"{dictionary.hook_point} has {dictionary.d_in}."
            )
        features = [feature for feature, _ in monitor.members]
        self._encode = dictionary.encoder_of(features) if features else None
        self._weights = np.array([weight for _, weight in monitor.members])
        self._direction = torch.tensor(monitor.direction, dtype=torch.float64)

    @torch.inference_mode()
    def levels(self, x: Tensor) -> Numbers:
        """Levels of tokens with the activations x [n, d_in], float64 [n]."""
        if self._encode is not None:
            levels: Numbers = self._encode(x).double().cpu().numpy() @ self._weights
            return levels
        raw: Numbers = (x.double().cpu() @ self._direction).numpy()
        return raw + self.monitor.offset


@dataclass(frozen=True)
class TextLevels:
    """The levels of a text's tokens.

    Attributes:
        tokens: ids, int64 [n]; of a text longer than the model's context the pieces, one after the
            other, each with the token that opens it.
        is_text: which of them are no special tokens, bool [n].
        levels: of each monitor, 0 on special tokens, float64 [monitors, n].
        level: of each monitor on the whole text; NaN: it has no token, [monitors].
    """

    tokens: NDArray[np.int64]
    is_text: NDArray[np.bool_]
    levels: Numbers
    level: tuple[float, ...]


def monitor_levels(
    model: LanguageModel, dictionary: Dictionary, monitor: Monitor, texts: Sequence[str]
) -> Numbers:
    """The level of each text, float64 [n]; NaN where a text has no token.

    Args:
        model: that the dictionary reads.
        dictionary: whose features are read, or at whose hook point the direction is.
        monitor: what is watched.
        texts: longer ones than the model's context are read in pieces.

    Raises:
        MonitorError, PromptError, HookPointError: they do not fit each other.
    """
    readers = [LevelReader(model, dictionary, monitor)]
    rows = [text_pieces(model, text) for text in texts]
    return np.array([text.level[0] for text in read_levels(model, readers, rows)])


def text_pieces(model: LanguageModel, text: str) -> list[list[int]]:
    """A text's tokens in pieces that fit the model's context, each opened as texts are."""
    bos = model.vocabulary.bos
    head = [] if bos is None else [bos]
    ids, room = encoded(model, text), model.n_ctx - len(head)
    return [head + ids[begin : begin + room] for begin in range(0, len(ids), room)]


def read_levels(
    model: LanguageModel, readers: Sequence[LevelReader], texts: Sequence[Sequence[Sequence[int]]]
) -> Iterator[TextLevels]:
    """Read texts in batches of pieces that are about equally long; in the order of the texts.

    Args:
        model: that reads.
        readers: of this model, at least one.
        texts: the pieces of each, token ids of at most the model's context.
    """
    pieces = [(number, piece) for number, own in enumerate(texts) for piece in own]
    order = sorted(range(len(pieces)), key=lambda at: len(pieces[at][1]))
    read: dict[int, Numbers] = {}
    for batch in _batches(order, [len(piece) for _, piece in pieces]):
        read |= _read(model, readers, {at: pieces[at][1] for at in batch})
    special = np.array(sorted(model.vocabulary.special), dtype=np.int64)
    at = 0
    for own in texts:
        here = [read[at + n] for n in range(len(own))]
        at += len(own)
        tokens = np.array([token for piece in own for token in piece], dtype=np.int64)
        is_text = ~np.isin(tokens, special)
        levels = np.concatenate(here, axis=1) if here else np.zeros((len(readers), 0))
        levels = np.where(is_text, levels, 0.0)
        level = tuple(
            reader.monitor.pooling.of(row[is_text])
            for reader, row in zip(readers, levels, strict=True)
        )
        yield TextLevels(tokens, is_text, levels, level)


def _batches(order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """Pieces in ascending length, as many at a time as make a batch."""
    batch = list[int]()
    for at in order:
        if batch and (len(batch) + 1) * lengths[at] > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _read(
    model: LanguageModel, readers: Sequence[LevelReader], pieces: Mapping[int, Sequence[int]]
) -> dict[int, Numbers]:
    """Levels [monitors, n] of each piece; padding lies behind, where no token can look."""
    longest = max(map(len, pieces.values()))
    batch = torch.zeros(len(pieces), longest, dtype=torch.int64)
    for row, piece in enumerate(pieces.values()):
        batch[row, : len(piece)] = torch.tensor(piece)
    points = list(dict.fromkeys(reader.point for reader in readers))
    x = dict(zip(points, model.capture_each(batch, points), strict=True))
    levels = np.stack(
        [
            reader.levels(x[reader.point].flatten(0, 1)).reshape(len(pieces), longest)
            for reader in readers
        ]
    )
    return {at: levels[:, row, : len(piece)] for row, (at, piece) in enumerate(pieces.items())}
