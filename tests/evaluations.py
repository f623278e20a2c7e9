"""A whole evaluation for tests, seeded."""

from __future__ import annotations

from typing import Any

import numpy as np

from sae_core.evaluation.figures import (
    ActiveCounts,
    BandEffects,
    BucketCounts,
    DecoderGeometry,
    Densities,
    Evaluation,
    EvaluationDetails,
    PositionFit,
    RandomDirections,
)
from sae_core.harvest.records import N_BANDS

FIGURES = ("l0", "fvu", "l_clean", "l_recon", "l_zero", "l_mean", "kl", "extra_loss")
FRACTIONS = ("extra_loss_fraction", "extra_loss_fraction_mean", "loss_recovered")


def evaluation(whole: bool = True) -> Evaluation:
    """Figures of nobody; `whole`: with bands and geometry."""
    draw = np.random.default_rng(5)
    losses = np.linspace(2.75, 6.5, N_BANDS + 1) + 0.1 * draw.random(N_BANDS + 1)
    shares = np.diff(losses) / (losses[-1] - losses[0])
    shares[0] = -0.001
    bands = BandEffects(
        firings=tuple(range(1100, 0, -100)),
        activation=tuple((np.arange(11.0) / 55).tolist()),
        losses=tuple(losses.tolist()),
        shares=tuple(shares.tolist()),
        intervals=tuple((s - 0.01, s + 0.01) for s in shares.tolist()),
    )
    cosines = draw.integers(0, 500, 80)
    cosines[[0, 1, 2, 79]] = 0
    decoder = DecoderGeometry(
        d_in=16,
        n_directions=12,
        mean=0.001,
        root_mean_square=0.3125,
        cosines=BucketCounts(-1.0, 1.0, tuple(cosines.tolist())),
        nearest=BucketCounts(0.0, 1.0, tuple(draw.integers(0, 9, 40).tolist())),
        nearest_quantiles=(0.1, 0.2, 0.375, 0.4, 0.5),
        random=RandomDirections(
            cosines=tuple(draw.gamma(2.0, 100.0, 80).tolist()),
            nearest=tuple(draw.gamma(1.0, 2.0, 40).tolist()),
            nearest_median=0.3,
        ),
    )
    intervals = dict.fromkeys(FIGURES, (2.0, 3.0)) | dict.fromkeys(FRACTIONS, (0.01, 0.0625))
    return Evaluation(
        n_tokens=65_600,
        n_targets=65_599,
        n_documents=40,
        l0=31.5,
        fvu=0.125,
        l_clean=2.5,
        l_recon=2.75,
        l_zero=7.0,
        l_mean=6.5,
        kl=0.3125,
        dead_share=0.25,
        details=EvaluationDetails(
            intervals=intervals,
            active=ActiveCounts(
                BucketCounts(0.0, 12.0, tuple(draw.integers(0, 99, 12).tolist())),
                1,
                (2, 4, 5, 7, 9),
            ),
            positions=PositionFit(
                starts=tuple(range(1, 32)),
                width=1,
                n_tokens=(2000,) * 31,
                fvu=tuple((0.125 + 0.01 * draw.random(31)).tolist()),
                intervals=(None, *((0.1, 0.15),) * 30),
            ),
            densities=Densities(
                BucketCounts(-5.0, 0.0, tuple(draw.integers(0, 5, 20).tolist())), dead=3
            ),
            bands=bands if whole else None,
            decoder=decoder if whole else None,
        ),
    )


def stored(whole: bool = True, **measured: Any) -> dict[str, Any]:
    """The same as the store keeps it, with what it was measured on."""
    facts = {
        "corpus": "<b>texts</b>",
        "reading": {"corpus": "/tmp/<b>my texts</b>", "column": "text", "packing": "none"},
        "source": "12 files under the folder <b>texts</b>",
        "fingerprint": "d" * 64,
        "held_out": True,
        "n_ctx": 32,
        "tokens": 65_536,
        "seed": 3,
        "n_windows": 2_100,
        "model_checksum": "a" * 64,
        "dictionary_checksum": "b" * 64,
        "dtype": "float32",
        "torch": "2.13.0",
    }
    return evaluation(whole).figures() | {"held_out": True, "measured": facts | measured}
