"""Dictionaries trained on toy data, and which true directions they recovered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.toy.data import Match, ToyConfig, ToyData, ToyStream, match, toy_data
from sae_core.training.config import Normalisation, TrainingConfig
from sae_core.training.trainer import train


@dataclass(frozen=True)
class ToySetting:
    """A toy and how dictionaries are trained on it.

    Attributes:
        data: what the data consist of; its seed is replaced by each run's.
        latents: features of the dictionaries.
        l0: how many features shall be active on a sample.
        batch: samples in a step.
        steps: optimizer steps.
        learning_rate: Adam's peak.
    """

    data: ToyConfig
    latents: int
    l0: float = 2
    batch: int = 256
    steps: int = 3000
    learning_rate: float = 3e-3


SETTINGS = {
    "small": ToySetting(ToyConfig(), latents=128),
    "large": ToySetting(ToyConfig(directions=512, dimensions=256), latents=1024),
}


@dataclass(frozen=True)
class ToyResult:
    """What one dictionary recovered of the true directions.

    Attributes:
        architecture: how it was trained.
        seed: what the data and the training were made from.
        match: true directions paired with decoder rows.
        l0: mean active features on a sample.
        fvu: fraction of variance unexplained.
        dead_share: share of the features that fire on no sample.
    """

    architecture: str
    seed: int
    match: Match
    l0: float
    fvu: float
    dead_share: float


def run_toy(setting: ToySetting, architecture: str, seed: int, folder: Path) -> ToyResult:
    """Train one dictionary on the seed's data and compare it with the truth.

    Args:
        setting: the toy data, and how to train on them.
        architecture: a key of `sae_core.training.methods.methods()`.
        seed: what data, initial weights and the order of samples are made from.
        folder: where the checkpoint lies while the dictionary trains.
    """
    data = toy_data(replace(setting.data, seed=seed))
    stream = ToyStream(data, setting.batch, seed)
    checkpoint = folder / f"{architecture}-{seed}.ckpt"
    trained = train(stream, toy_training(setting, architecture, seed), "toy", checkpoint)
    checkpoint.unlink(missing_ok=True)
    return _compared(data, trained.dictionary, architecture, seed)


def toy_training(setting: ToySetting, architecture: str, seed: int) -> TrainingConfig:
    """How a toy's dictionary is trained."""
    return TrainingConfig(
        architecture=architecture,
        d_sae=setting.latents,
        l0=setting.l0,
        tokens=setting.steps * setting.batch,
        batch=setting.batch,
        learning_rate=setting.learning_rate,
        decay=0.3,
        normalisation=Normalisation.NONE,
        dead_after=20 * setting.batch,
        precision="float32",
        seed=seed,
    )


def _compared(data: ToyData, dictionary: Dictionary, architecture: str, seed: int) -> ToyResult:
    """The trained dictionary against the true directions, on all samples."""
    x = torch.from_numpy(data.x).float()
    with torch.inference_mode():
        acts = dictionary.encode(x)
        error = (dictionary.decode(acts, x) - x).double().pow(2).sum()
        spread = (x - x.mean(dim=0)).double().pow(2).sum()
    rows = dictionary.decoder_rows.double().numpy()
    return ToyResult(
        architecture=architecture,
        seed=seed,
        match=match(data.directions, np.asarray(rows)),
        l0=float((acts > 0).sum(dim=1).double().mean()),
        fvu=float(error / spread),
        dead_share=float((acts.amax(dim=0) <= 0).double().mean()),
    )
