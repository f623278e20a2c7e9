"""Features through a model's training, as they go into the store and come out of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOP = 3  # tokens on which a feature is strongest, that are kept


@dataclass(frozen=True)
class Moment:
    """One checkpoint of a training.

    Attributes:
        name: of its folder.
        step: that it was kept at; -1: not known.
        loss: on the text, nats a token.
        null: correlation that matches by chance reach, 99th percentile over features.
        checksum: of its weights.
    """

    name: str
    step: int
    loss: float
    null: float
    checksum: str


@dataclass(frozen=True)
class MomentArrays:
    """Figures of all features, by moment; all float32 or int32.

    Attributes:
        values: correlation with the best match among the moment's own features; the last one's is
            with its own second training: the ceiling. [moments, d_sae]
        partners: the best match, -1: none. [moments, d_sae]
        same: correlation with the last dictionary, read as it is from the moment's activations.
            [moments, d_sae]
        f1: of the feature's rule, where the best match fires; nan: no rule. [moments, d_sae]
        rows: tokens on which the feature, and at the moments the best match, is strongest, the
            feature itself last; -1: none. [moments + 1, d_sae, TOP]
        strengths: activations there. [moments + 1, d_sae, TOP]
        tokens: that were read, ids. [n]
        begins: at which of them windows begin. [windows]
    """

    values: NDArray[np.float32]
    partners: NDArray[np.int32]
    same: NDArray[np.float32]
    f1: NDArray[np.float32]
    rows: NDArray[np.int32]
    strengths: NDArray[np.float32]
    tokens: NDArray[np.int32]
    begins: NDArray[np.int32]


@dataclass(frozen=True)
class MomentsSettings:
    """What decided it.

    Attributes:
        trained: tokens that each moment's dictionary was trained on; 0: neurons, not trained.
        read: tokens that features were matched on, of documents held out.
        seed: of the trainings and the order of the text.
        corpus: its name.
        method: the architecture that each moment's dictionary was trained as; empty: neurons, or
            it was not noted yet.
        own: that of the last moment's dictionary in the store, likewise.
    """

    trained: int
    read: int
    seed: int
    corpus: str
    method: str = ""
    own: str = ""


@dataclass(frozen=True)
class MomentsRecord:
    """A dictionary's features through the training of its model.

    Attributes:
        name: part of its address.
        identity: SHA-256 of all that decided it.
        model: name of the last moment in the store.
        dictionary: name of its dictionary there.
        checksum: of the dictionary's weights; empty: neurons.
        d_sae: features.
        settings: what decided it.
        moments: the checkpoints in order, the last one last.
        arrays: figures of features.
    """

    name: str
    identity: str
    model: str
    dictionary: str
    checksum: str
    d_sae: int
    settings: MomentsSettings
    moments: tuple[Moment, ...]
    arrays: MomentArrays
