"""Stored figures of features, computed again from the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import torch
from numpy.typing import NDArray

from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import places_of
from sae_core.dictionaries.screening import screened
from sae_core.harvest.co_firing import aligned_neurons, nearest
from sae_core.harvest.logit_weights import logit_weights
from sae_core.harvest.records import FeatureRecord, GroupKind, Ranking, WindowRecord
from sae_core.language_model.hook_point import HookKind
from sae_core.language_model.model import LanguageModel
from sae_core.text.tokenized import Windows

TOLERANCE = 1e-3
BATCH_WINDOWS = 32
MOST_ERRORS = 6
LEAST_WINDOWS = 20


@dataclass(frozen=True)
class Check:
    """One kind of figure, stored and computed again.

    Attributes:
        what: which kind of figure, in words.
        compared: how many figures were compared.
        differ: how many are off by more than `TOLERANCE` of their feature's scale.
        largest: the largest difference, as a share of that scale.
        where: where the largest difference lies; empty where nothing differs.
    """

    what: str
    compared: int
    differ: int
    largest: float
    where: str


class _Tally:
    """Collects differences of one kind."""

    def __init__(self, what: str) -> None:
        self.what, self.compared, self.differ = what, 0, 0
        self.largest, self.where = 0.0, ""

    def add(
        self, stored: NDArray[np.float64], now: NDArray[np.float64], scale: float, where: str
    ) -> None:
        """Compare stored values [n] with those computed now [n], as shares of a scale."""
        self.compared += len(stored)
        if not len(stored):
            return
        off = np.abs(stored - now) / max(scale, 1e-12)
        off[~np.isfinite(off)] = np.inf
        self.differ += int((off > TOLERANCE).sum())
        if (worst := float(off.max())) > self.largest:
            self.largest, self.where = worst, where

    def add_fact(self, right: bool, where: str) -> None:
        """Count something that is right or wrong."""
        self.add(np.zeros(1), np.array([0.0 if right else 1.0]), 1.0, where)

    def check(self) -> Check:
        """The result."""
        return Check(self.what, self.compared, self.differ, self.largest, self.where)


@torch.inference_mode()
def check_activations(
    model: LanguageModel,
    dictionary: Dictionary,
    records: Sequence[FeatureRecord],
    windows: Mapping[int, WindowRecord],
) -> Check:
    """Each record's activations in its windows: where it fires and how strongly.

    A position counts if the feature fired there in the harvest or fires there now; the scale is the
    feature's maximum. Examples in
    windows that `windows` lacks are left out.
    """
    hook_point = model.hook_point(dictionary.hook_point, dictionary.d_in)
    encoder = screened(dictionary)
    columns = np.full(dictionary.d_sae, -1, dtype=np.int64)
    columns[[record.index for record in records]] = np.arange(len(records))
    stored = _stored(records, windows)
    tally = _Tally("activations in stored contexts")
    for batch in _batches([windows[number] for number in stored]):
        tokens = np.stack([window.tokens for window in batch])
        x = model.capture(torch.from_numpy(tokens).to(model.device), hook_point)
        firings = encoder.encode_sparse(x.flatten(0, 1))
        column = columns[firings.features.cpu().numpy()]
        # The activations of the records' features alone, 0 where they do not fire.
        now = np.zeros((tokens.size, len(records)))
        rows, values = firings.rows.cpu().numpy(), firings.values.double().cpu().numpy()
        now[rows[column >= 0], column[column >= 0]] = values[column >= 0]
        now[model.vocabulary.is_special[tokens].reshape(-1)] = 0.0
        by_window = now.reshape(*tokens.shape, len(records))
        # Position by position against what the examples in each window hold.
        for window, acts in zip(batch, by_window, strict=True):
            for n, then in stored[window.number].items():
                fires = (then > 0) | (acts[:, n] > 0)
                where = f"feature {records[n].index} in window {window.number}"
                tally.add(then[fires], acts[fires, n], records[n].maximum, where)
    return tally.check()


def _stored(
    records: Sequence[FeatureRecord], windows: Mapping[int, WindowRecord]
) -> dict[int, dict[int, NDArray[np.float64]]]:
    """By window and place among the records: the activations at every position, float64 [pos]."""
    stored: dict[int, dict[int, NDArray[np.float64]]] = {}
    for n, record in enumerate(records):
        for group in record.groups:
            examples = group.examples
            for i, number in enumerate(examples.windows.tolist()):
                if number not in windows:
                    continue
                own = slice(int(examples.bounds[i]), int(examples.bounds[i + 1]))
                dense = np.zeros(len(windows[number].tokens))
                dense[examples.positions[own]] = examples.values[own]
                stored.setdefault(number, {})[n] = dense
    return stored


def _batches(windows: Sequence[WindowRecord]) -> Iterator[list[WindowRecord]]:
    """Windows of one length together, so that none needs padding."""
    ordered = sorted(windows, key=lambda window: (len(window.tokens), window.number))
    for _, alike in groupby(ordered, key=lambda window: len(window.tokens)):
        remaining = iter(alike)
        while batch := list(islice(remaining, BATCH_WINDOWS)):
            yield batch


@torch.inference_mode()
def check_weights(
    model: LanguageModel, dictionary: Dictionary, records: Sequence[FeatureRecord]
) -> list[Check]:
    """What follows from the weights alone: logit weights, nearest features, aligned neurons."""
    logits = _Tally("logit weights of the tokens raised and lowered most")
    near = _Tally("decoder cosines of the nearest features")
    neurons = _Tally("largest entries of decoder rows")
    rows = dictionary.decoder_rows
    kind = places_of(model, dictionary).write.kind
    trained = not isinstance(dictionary, NeuronBasis)
    for record in records:
        here = f"feature {record.index}"
        own = slice(record.index, record.index + 1)
        weights = logit_weights(model, dictionary, own)[0].double().cpu().numpy()
        scale = float(np.abs(weights).max())
        # The histogram's ends are the smallest and largest of all logit weights.
        ends = np.array([weights.min(), weights.max()])
        logits.add(np.array([record.logits.low, record.logits.high]), ends, scale, here)
        for ranking in (record.raised, record.lowered):
            logits.add(ranking.weights.astype(np.float64), weights[ranking.ids], scale, here)
        if not trained:
            continue
        _compare(near, record.nearest, nearest(rows, own.start, own.stop)[0], 1.0, here)
        if kind is HookKind.POST and record.neurons.ids.size:
            aligned = aligned_neurons(rows, own.start, own.stop)[0]
            largest = float(np.abs(aligned.weights).max())
            _compare(neurons, record.neurons, aligned, largest, here)
    return [tally.check() for tally in (logits, near, neurons) if tally.compared]


def _compare(tally: _Tally, stored: Ranking, now: Ranking, scale: float, where: str) -> None:
    """By their weights, in order: which of two equal ones comes first is no difference."""
    old, new = stored.weights.astype(np.float64), now.weights.astype(np.float64)
    if len(old) == len(new):
        tally.add(old, new, scale, where)
    else:
        tally.add_fact(False, where)


def check_consistency(records: Sequence[FeatureRecord]) -> Check:
    """That the parts of a record agree: histogram, bands, maximum and the number of firings."""
    tally = _Tally("histograms, bands and maxima against each other")
    for record in records:
        here = f"feature {record.index}"
        bands = [group for group in record.groups if group.kind is GroupKind.BAND]
        tops = [group for group in record.groups if group.kind is GroupKind.TOP]
        tally.add_fact(int(record.activations.counts.sum()) == record.firings, here)
        tally.add_fact((record.firings == 0) == (record.maximum == 0.0), here)
        if bands:
            tally.add_fact(sum(band.firings for band in bands) == record.firings, here)
        for top in tops:
            tally.add_fact(top.high == record.maximum, here)
    return tally.check()


@torch.inference_mode()
def check_densities(
    model: LanguageModel,
    dictionary: Dictionary,
    windows: Windows,
    numbers: NDArray[np.int64],
    firings: NDArray[np.int64],
    n_tokens: int,
) -> list[Check]:
    """Counts again on a sample of the harvest's own windows.

    A feature that is stored as dead must not fire there. The others' counts may differ from what
    their density promises as much as windows differ: off is a count more than `MOST_ERRORS`
    standard errors away, by the spread between windows (the residuals of a ratio estimator,
    Cochran 1977, section 6.4), among features that fire in at least `LEAST_WINDOWS` of them. The
    mean number of active features on a token is compared by the same rule.

    Args:
        model: the language model that the dictionary reads.
        dictionary: one that reads the model at one of its hook points.
        windows: the harvested text.
        numbers: some of the harvested windows, int64 [n].
        firings: the stored number of firings of each feature, int64 [d_sae].
        n_tokens: on how many text tokens these were counted.
    """
    hook_point = model.hook_point(dictionary.hook_point, dictionary.d_in)
    encoder = screened(dictionary)
    density = firings / max(1, n_tokens)
    # Sums over windows of (count - density * tokens), the residual of a ratio estimator, and of its
    # square; firings seen, and windows with any.
    residual, squares = np.zeros(dictionary.d_sae), np.zeros(dictionary.d_sae)
    seen, in_windows = np.zeros(dictionary.d_sae, np.int64), np.zeros(dictionary.d_sae, np.int64)
    totals = []
    for begin in range(0, len(numbers), BATCH_WINDOWS):
        tokens, mask = windows.gather(numbers[begin : begin + BATCH_WINDOWS])
        mask &= ~model.vocabulary.is_special[tokens]
        x = model.capture(torch.from_numpy(tokens).to(model.device), hook_point)
        for row, text in zip(x, mask, strict=True):
            fired = encoder.encode_sparse(row[torch.from_numpy(text).to(x.device)])
            counts = np.bincount(fired.features.cpu().numpy(), minlength=dictionary.d_sae)
            off = counts - density * int(text.sum())
            residual, squares = residual + off, squares + off**2
            seen, in_windows = seen + counts, in_windows + (counts > 0)
            totals.append(float(off.sum()))
    # Dead features must not fire at all.
    dead = _Tally("features stored as dead, on sampled text")
    for index in np.flatnonzero(firings == 0).tolist():
        dead.add_fact(seen[index] == 0, f"feature {index}")
    often = _Tally(f"densities, within {MOST_ERRORS} standard errors, on sampled text")
    # The others must lie within their standard errors, each alone and all together.
    errors = np.abs(residual) / np.sqrt(np.maximum(squares, 1e-12))
    for index in np.flatnonzero(in_windows >= LEAST_WINDOWS).tolist():
        often.add_fact(errors[index] <= MOST_ERRORS, f"feature {index}")
    spread = float(np.sqrt(np.square(totals).sum()))
    often.add_fact(abs(sum(totals)) <= MOST_ERRORS * max(spread, 1e-12), "all features together")
    return [tally.check() for tally in (dead, often) if tally.compared]
