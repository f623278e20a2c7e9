"""From sums over documents to the figures of an evaluation, with their intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import HarvestError
from sae_core.evaluation.document_sums import METHOD, DocumentSums, Totals, interval
from sae_core.evaluation.figures import (
    ActiveCounts,
    BandEffects,
    BucketCounts,
    DecoderGeometry,
    Densities,
    Evaluation,
    EvaluationDetails,
    PositionFit,
)
from sae_core.harvest.records import N_BANDS

LOSSES = ("l_clean", "l_recon", "l_zero", "l_mean", "kl")
MOST_POSITIONS = 128
MOST_BUCKETS = 48
BUCKETS_A_DECADE = 4
# Figures that cannot be negative.
_LEAST = dict.fromkeys(("l0", "fvu", *LOSSES), 0.0)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class EvaluationSums:
    """What an evaluation adds up, document by document.

    Memory: for each document about three numbers a position (a group of positions, where a window
    has more than `MOST_POSITIONS`), and a number for each feature.

    Args:
        n_documents: how many documents are evaluated; they are numbered from 0.
        n_ctx: positions in a window.
        d_sae: features of the dictionary.
    """

    def __init__(self, n_documents: int, n_ctx: int, d_sae: int) -> None:
        self._width = -(-n_ctx // MOST_POSITIONS)
        by_position = dict.fromkeys(("tokens", "error", "deviation"), -(-n_ctx // self._width))
        single = dict.fromkeys(("active", "targets", *LOSSES), 1)
        self._sums = DocumentSums(n_documents, by_position | single | {"bands": N_BANDS + 1})
        self._firings = np.zeros(d_sae, dtype=np.int64)
        self._active = np.zeros(d_sae + 1, dtype=np.int64)
        self._band_firings = np.zeros(N_BANDS, dtype=np.int64)
        self._band_activation = np.zeros(N_BANDS)

    def add_tokens(
        self, documents: Ints, positions: Ints, active: Ints, error: Floats, deviation: Floats
    ) -> None:
        """Count n tokens with what the dictionary makes of them.

        Args:
            documents: number of each token's document, int64 [n].
            positions: each token's position in its window, int64 [n].
            active: number of features active on each token, int64 [n].
            error: ||x - x_hat||^2 of each token, float64 [n].
            deviation: ||x - mean||^2 of each token, float64 [n].
        """
        places = positions // self._width
        self._sums.add("tokens", documents, 1.0, places)
        self._sums.add("error", documents, error, places)
        self._sums.add("deviation", documents, deviation, places)
        self._sums.add("active", documents, active.astype(np.float64))
        self._active += np.bincount(active, minlength=len(self._active))

    def add_firings(self, features: Ints) -> None:
        """Count firings of features [n]."""
        self._firings += np.bincount(features, minlength=len(self._firings))

    def add_targets(self, documents: Ints) -> None:
        """Count predicted tokens of documents [n]."""
        self._sums.add("targets", documents, 1.0)

    def add_losses(self, name: str, documents: Ints, values: Floats) -> None:
        """Add nats of predicted tokens [n] to one of `LOSSES`."""
        self._sums.add(name, documents, values)

    def add_band_loss(self, band: int, documents: Ints, values: Floats) -> None:
        """Add nats of predicted tokens [n] to L_band, 1 to 11 (L_0 is `l_recon`)."""
        self._sums.add("bands", documents, values, band)

    def add_band_firings(self, bands: Ints, values: NDArray[np.floating]) -> None:
        """Count firings [n] by their bands, with their activations."""
        self._band_firings += np.bincount(bands, minlength=N_BANDS)
        self._band_activation += np.bincount(bands, values, minlength=N_BANDS)

    def evaluation(self, decoder: DecoderGeometry | None = None) -> Evaluation:
        """The figures of all that was added, with the decoder's geometry where it was computed.

        Raises:
            HarvestError: there is too little text for them.
        """
        totals, n_documents = self._sums.totals(), self._sums.n_documents
        n_tokens, n_targets = int(totals["tokens"].sum()), int(totals["targets"])
        if n_targets == 0 or totals["deviation"].sum() == 0.0:
            raise HarvestError(f"{n_tokens} tokens are too few to evaluate on: give more text.")
        # Every figure once from the sums over all documents, and once without each of them.
        figures = {name: float(value) for name, value in ratios(totals).items()}
        if wrong := [name for name in ("fvu", *LOSSES) if not np.isfinite(figures[name])]:
            raise HarvestError(
                f"{', '.join(wrong)} are no finite numbers on these {n_tokens} tokens: the model's "
                "or the dictionary's weights, or the dtype they run in, overflow."
            )
        left_out = self._sums.left_out()
        without = ratios(left_out)
        intervals = {
            name: ends
            for name, figure in figures.items()
            if (ends := interval(figure, without[name], _LEAST.get(name, -np.inf)))
        }
        has_bands = bool(self._band_firings.any())
        return Evaluation(
            n_tokens=n_tokens,
            n_targets=n_targets,
            n_documents=n_documents,
            **{name: figures[name] for name in ("l0", "fvu", *LOSSES)},
            dead_share=float((self._firings == 0).mean()),
            details=EvaluationDetails(
                intervals=intervals,
                interval_method=METHOD,
                active=_active(self._active),
                positions=_positions(totals, left_out, self._width),
                densities=_densities(self._firings, n_tokens),
                bands=self._bands(totals, left_out) if has_bands else None,
                decoder=decoder,
            ),
        )

    def _bands(self, totals: Totals, left_out: Totals) -> BandEffects:
        """What each band carries, with the intervals of the shares."""
        shares = band_shares(totals)
        without = band_shares(left_out)
        activation = self._band_activation / self._band_activation.sum()
        return BandEffects(
            firings=tuple(self._band_firings.tolist()),
            activation=tuple(activation.tolist()),
            losses=tuple((_band_sums(totals) / totals["targets"]).tolist()),
            shares=tuple(s if np.isfinite(s) else None for s in shares.tolist()),
            intervals=tuple(
                interval(*of_band) for of_band in zip(shares.tolist(), without.T, strict=True)
            ),
        )


def ratios(totals: Totals) -> dict[str, Floats]:
    """Every figure that is a function of sums over documents; not finite where it has no value.

    Args:
        totals: from `DocumentSums.totals`, or `left_out`: then a figure for each document.
    """
    tokens = totals["tokens"].sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = {name: totals[name] / totals["targets"] for name in LOSSES}
        extra = losses["l_recon"] - losses["l_clean"]
        of_zero = extra / (losses["l_zero"] - losses["l_clean"])
        of_mean = extra / (losses["l_mean"] - losses["l_clean"])
        return {
            "l0": totals["active"] / tokens,
            "fvu": totals["error"].sum(axis=-1) / totals["deviation"].sum(axis=-1),
            **losses,
            "extra_loss": extra,
            "extra_loss_fraction": of_zero,
            "loss_recovered": 1.0 - of_zero,
            "extra_loss_fraction_mean": of_mean,
            "loss_recovered_mean": 1.0 - of_mean,
        }


def band_shares(totals: Totals) -> Floats:
    """(L_{b+1} - L_b) / (L_11 - L_0) of each band, [..., 11]."""
    sums = _band_sums(totals)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares: Floats = np.diff(sums, axis=-1) / (sums[..., -1:] - sums[..., :1])
    return shares


def _band_sums(totals: Totals) -> Floats:
    """Sums of nats for L_0 to L_11, [..., 12]."""
    return np.concatenate([totals["l_recon"][..., None], totals["bands"][..., 1:]], axis=-1)


def _positions(totals: Totals, left_out: Totals, width: int) -> PositionFit:
    """FVU of each group of `width` positions that holds text."""
    known = np.flatnonzero(totals["deviation"])
    fvu = (totals["error"] / np.maximum(totals["deviation"], 1e-300))[known].tolist()
    with np.errstate(divide="ignore", invalid="ignore"):
        without = left_out["error"][:, known] / left_out["deviation"][:, known]
    return PositionFit(
        starts=tuple((known * width).tolist()),
        width=width,
        n_tokens=tuple(totals["tokens"][known].astype(int).tolist()),
        fvu=tuple(fvu),
        intervals=tuple(
            interval(*at_place, least=0.0) for at_place in zip(fvu, without.T, strict=True)
        ),
    )


def _active(tokens: Ints) -> ActiveCounts:
    """The distribution of L0, from the number of tokens with 0, 1, 2, … active features."""
    # Buckets of equally many whole numbers, at most `MOST_BUCKETS` of them.
    most = int(np.flatnonzero(tokens)[-1])
    width = -(-(most + 1) // MOST_BUCKETS)
    n_buckets = -(-(most + 1) // width)
    padded = np.zeros(n_buckets * width, dtype=np.int64)
    padded[: most + 1] = tokens[: most + 1]
    reached = np.cumsum(tokens) / tokens.sum()
    buckets = padded.reshape(n_buckets, width).sum(axis=1)
    return ActiveCounts(
        counts=BucketCounts(0.0, float(len(padded)), tuple(buckets.tolist())),
        width=width,
        quantiles=tuple(np.searchsorted(reached, QUANTILES).tolist()),
    )


def _densities(firings: Ints, n_tokens: int) -> Densities:
    """Features by log10(firings / n_tokens), in quarters of a decade from a single firing on."""
    fired = firings[firings > 0]
    n_buckets = max(1, int(np.ceil(np.log10(n_tokens) * BUCKETS_A_DECADE)))
    places = (np.log10(fired / n_tokens) * BUCKETS_A_DECADE + n_buckets).astype(np.int64)
    counts = np.bincount(np.clip(places, 0, n_buckets - 1), minlength=n_buckets)
    low = -n_buckets / BUCKETS_A_DECADE
    return Densities(BucketCounts(low, 0.0, tuple(counts.tolist())), int((firings == 0).sum()))
