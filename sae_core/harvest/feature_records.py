"""From a firing log to what the pages show: one record a feature."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import places_of
from sae_core.harvest.co_firing import aligned_neurons, coactive, joint_counts, nearest
from sae_core.harvest.density import DocumentTokens
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.firing_tokens import FiringTokens
from sae_core.harvest.harvest import HarvestPlan
from sae_core.harvest.logit_weights import centred_unembedding, logit_weights
from sae_core.harvest.records import (
    N_HISTOGRAM,
    FeatureRecord,
    Histogram,
    Ranking,
    WindowRecord,
)
from sae_core.harvest.sampling import WindowTable, activation_histogram, sample_groups
from sae_core.language_model.hook_point import HookKind
from sae_core.language_model.model import LanguageModel

N_LOGITS = 10
BLOCK = 64
BLOCK_FIRINGS = 4_000_000
_ROWS = 4  # of a block, whose histograms are made together
_NOTHING = Ranking(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32))


@torch.inference_mode()
def feature_records(
    model: LanguageModel,
    dictionary: Dictionary,
    plan: HarvestPlan,
    log: FiringLog,
    writers: Dictionary | None = None,
) -> Iterator[FeatureRecord]:
    """Yield every feature's record, by index.

    Args:
        model: the harvested language model.
        dictionary: the harvested dictionary.
        plan: what was harvested.
        log: all firings of the harvest.
        writers: a trained dictionary at the same hook point. Where `dictionary` is the neuron
            basis, a neuron's record names the features of `writers` that write to it most.
    """
    table = WindowTable(
        numbers=log.windows,
        documents=plan.windows.document_of(log.windows),
        n_ctx=plan.windows.n_ctx,
        seed=plan.seed,
    )
    # What is counted over all features at once.
    documents = _document_tokens(plan, log)
    tokens = FiringTokens(plan.windows, log.windows, model.vocabulary.is_special)
    place_of = np.searchsorted(np.unique(table.documents), table.documents)
    joint = joint_counts(log)
    joint_firings = joint.diagonal()
    rows = dictionary.decoder_rows
    unembedding = centred_unembedding(model)
    on_neurons = places_of(model, dictionary).write.kind is HookKind.POST
    # Everything else a block of features at a time, so that memory stays bounded.
    for first, last in log.blocks(BLOCK, BLOCK_FIRINGS):
        near = nearest(rows, first, last)
        if isinstance(dictionary, NeuronBasis):
            # Neurons are orthogonal: they have no nearest, but they have features writing to them.
            near = [_NOTHING] * (last - first)
            neurons = _writers(writers, first, last)
        else:
            neurons = (
                aligned_neurons(rows, first, last) if on_neurons else [_NOTHING] * (last - first)
            )
        weights = logit_weights(model, dictionary, slice(first, last), unembedding)
        raised, lowered, histograms = _summarise_logits(weights)
        for n, firings in enumerate(log.read(first, last)):
            maximum = float(firings.values.max()) if len(firings.values) else 0.0
            fires_on, fires_after = tokens.rankings(firings.slots)
            yield FeatureRecord(
                index=first + n,
                firings=len(firings.values),
                maximum=maximum,
                activations=(
                    activation_histogram(firings.values, maximum)
                    if len(firings.values)
                    else Histogram(0.0, 0.0, np.zeros(0, np.int64))
                ),
                logits=histograms[n],
                raised=raised[n],
                lowered=lowered[n],
                neurons=neurons[n],
                nearest=near[n],
                coactive=coactive(joint, joint_firings, first + n),
                groups=sample_groups(first + n, firings, table),
                density_interval=documents.density_interval(
                    *np.unique(place_of[firings.slots // table.n_ctx], return_counts=True)
                ),
                fires_on=fires_on,
                fires_after=fires_after,
            )


def _document_tokens(plan: HarvestPlan, log: FiringLog) -> DocumentTokens:
    """The harvested tokens of each document that has some, by the document's number."""
    of_windows = plan.windows.document_of(log.windows)
    _, places = np.unique(of_windows, return_inverse=True)
    tokens = np.bincount(places, weights=plan.windows.lengths(log.windows))
    return DocumentTokens(tokens.astype(np.int64))


def _writers(writers: Dictionary | None, first: int, last: int) -> list[Ranking]:
    """For neurons `first` to `last - 1` the features whose decoder rows write to them most."""
    if writers is None:
        return [_NOTHING] * (last - first)
    return aligned_neurons(writers.decoder_rows.T, first, last)


def _summarise_logits(weights: Tensor) -> tuple[list[Ranking], list[Ranking], list[Histogram]]:
    """Top, bottom and histogram of logit weights [n, d_vocab]."""
    k = min(N_LOGITS, weights.shape[-1])
    top, bottom = weights.topk(k, dim=-1), weights.topk(k, dim=-1, largest=False)
    low, high = weights.amin(dim=-1, keepdim=True), weights.amax(dim=-1, keepdim=True)
    width = (high - low).clamp_min(torch.finfo(weights.dtype).tiny)
    counts = torch.zeros(len(weights), N_HISTOGRAM, dtype=torch.int64, device=weights.device)
    # A few rows at a time stay in the processor's cache: a quarter of the time.
    parts = (torch.split(part, _ROWS) for part in (weights, low, width, counts))
    for some, least, spread, count in zip(*parts, strict=True):
        bucket = (some - least).div_(spread).mul_(N_HISTOGRAM).long()
        bucket.clamp_(0, N_HISTOGRAM - 1)
        count.scatter_add_(1, bucket, torch.ones_like(bucket))
    return (
        _rankings(top.indices, top.values),
        _rankings(bottom.indices, bottom.values),
        [
            Histogram(float(lo), float(hi), c)
            for lo, hi, c in zip(low.cpu(), high.cpu(), counts.cpu().numpy(), strict=True)
        ],
    )


def _rankings(ids: Tensor, weights: Tensor) -> list[Ranking]:
    none = np.zeros(0, dtype=np.float32)
    return [
        Ranking(i.numpy().astype(np.int32), w.float().numpy(), none)
        for i, w in zip(ids.cpu(), weights.cpu(), strict=True)
    ]


def window_records(
    plan: HarvestPlan, model: LanguageModel, numbers: NDArray[np.int64]
) -> Iterator[WindowRecord]:
    """The windows of those numbers, without padding, each with its document and line."""
    windows, corpus = plan.windows, plan.windows.corpus
    newlines = model.vocabulary.newlines
    for number in numbers:
        single = np.array([number])
        tokens, mask = windows.gather(single)
        document = int(windows.document_of(single)[0])
        begin = int(corpus.offsets[document])
        before = corpus.tokens[begin : begin + int(windows.start_of(single)[0])]
        lead = windows.n_ctx - windows.n_text
        yield WindowRecord(
            number=int(number),
            document=corpus.names[document],
            line=1 + int(newlines[before].sum()),
            tokens=tokens[0, : lead + int(mask[0].sum())],
        )
