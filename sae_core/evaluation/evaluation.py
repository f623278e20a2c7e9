"""How good a dictionary is, on text that no training saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sae_core.dictionaries.dictionary import Dictionary, Firings
from sae_core.dictionaries.places import Places, places_of
from sae_core.dictionaries.screening import Encoder, screened
from sae_core.evaluation.activation_bands import bands_of, from_band_up
from sae_core.evaluation.decoder_geometry import decoder_geometry
from sae_core.evaluation.figures import Evaluation
from sae_core.evaluation.sums import EvaluationSums
from sae_core.harvest.records import N_BANDS
from sae_core.language_model.clean_run import CleanRun, clean_run
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import log_probabilities, log_probabilities_of
from sae_core.text.tokenized import Windows

BATCH_WINDOWS = 32

Ints = NDArray[np.int64]


@torch.inference_mode()
def evaluate(
    model: LanguageModel,
    dictionary: Dictionary,
    windows: Windows,
    numbers: Ints,
    on_windows: Callable[[int], None] | None = None,
    *,
    thorough: bool = False,
) -> Evaluation:
    """Evaluate a dictionary on the windows of those numbers.

    BOS and padding keep the model's own activation, are not encoded and are no targets. Of a
    transcoder, what is replaced, by its reconstruction, by 0 and by its mean, is what it writes.
    Memory: one batch of windows and `EvaluationSums`.

    Args:
        model: the language model that the dictionary reads.
        dictionary: one that reads and writes the model at hook points that it has.
        windows: the text.
        numbers: numbers of the windows to evaluate on, int64 [n].
        on_windows: called after every batch with how many windows are done.
        thorough: whether to measure also what each activation band carries, which runs the rest of
            the model eleven times more, and how the decoder's directions lie, whose time grows
            with d_sae^2.

    Raises:
        HarvestError: there is too little text for figures.
    """
    places = places_of(model, dictionary)
    text = EvaluatedText(model, windows, numbers)
    encoder = screened(dictionary)
    # A first pass over the text for what replaces x or bounds the bands, a second for the figures.
    statistics = _text_statistics(
        model, places, text, encoder if thorough else None, dictionary.d_sae
    )
    sums = EvaluationSums(text.n_documents, windows.n_ctx, dictionary.d_sae)
    done = 0
    for batch in text.batches():
        run = clean_run(model, batch.tokens, places.write, read=places.read)
        x, read = run.x[batch.text], run.read[batch.text]
        firings = encoder.encode_sparse(read)
        x_hat = dictionary.decode_sparse(firings, read).to(x.dtype)
        add_fit(sums, batch, x, x_hat, firings, statistics.mean)
        _add_losses(sums, batch, run, x_hat, statistics.mean.to(x.dtype))
        if statistics.maxima is not None:
            _add_bands(sums, batch, run, dictionary, firings, statistics.maxima)
        done += len(batch.tokens)
        if on_windows is not None:
            on_windows(done)
    return sums.evaluation(decoder_geometry(dictionary) if thorough else None)


@torch.inference_mode()
def mean_loss(model: LanguageModel, windows: Windows, numbers: Ints) -> float:
    """The model's own loss on the text tokens of those windows, nats/token."""
    total, n_targets = 0.0, 0
    for batch in EvaluatedText(model, windows, numbers).batches():
        losses = token_losses(model, model.final_hidden(batch.tokens), batch)
        total += float(losses.sum())
        n_targets += len(losses)
    return total / n_targets


@dataclass(frozen=True)
class TextBatch:
    """Some windows.

    Attributes:
        tokens: ids, int64 [batch, pos].
        text: which of them are text, bool [batch, pos].
        windows: number of each window's document among those evaluated, int64 [batch].
    """

    tokens: Tensor
    text: Tensor
    windows: Ints

    @property
    def targets(self) -> Tensor:
        """Text tokens that a position before them predicts, [batch, pos - 1]."""
        return self.text[:, 1:]

    @property
    def documents(self) -> Ints:
        """The number of each target's document, int64 [n]."""
        rows: Ints = self.targets.nonzero()[:, 0].cpu().numpy()
        return self.windows[rows]


class EvaluatedText:
    """The windows that are evaluated, with their documents numbered from 0."""

    def __init__(self, model: LanguageModel, windows: Windows, numbers: Ints) -> None:
        self._model, self._windows, self._numbers = model, windows, numbers
        distinct, documents = np.unique(windows.document_of(numbers), return_inverse=True)
        self._documents = documents.astype(np.int64)
        self.n_documents = len(distinct)

    def batches(self) -> Iterator[TextBatch]:
        """All windows in order, `BATCH_WINDOWS` at a time, on the model's device."""
        device = self._model.device
        for begin in range(0, len(self._numbers), BATCH_WINDOWS):
            some = slice(begin, begin + BATCH_WINDOWS)
            tokens, text = self._windows.gather(self._numbers[some])
            text &= ~self._model.vocabulary.is_special[tokens]
            yield TextBatch(
                torch.from_numpy(tokens).to(device),
                torch.from_numpy(text).to(device),
                self._documents[some],
            )


@dataclass(frozen=True)
class _TextStatistics:
    """What must be known of the text before anything is replaced.

    Attributes:
        mean: the mean of the activation that is replaced over the text tokens, float64 [d_out].
        maxima: the largest activation of each feature there, [d_sae]; None where bands are not
            asked for.
    """

    mean: Tensor
    maxima: Tensor | None


def _text_statistics(
    model: LanguageModel, places: Places, text: EvaluatedText, encoder: Encoder | None, d_sae: int
) -> _TextStatistics:
    """One pass over the text; maxima where an encoder is given."""
    total = torch.zeros(places.write.d_in, dtype=torch.float64, device=model.device)
    maxima = torch.zeros(d_sae, device=model.device)
    n_tokens = 0
    for batch in text.batches():
        written = model.capture(batch.tokens, places.write)
        x = written[batch.text]
        total += x.sum(dim=0, dtype=torch.float64)
        n_tokens += len(x)
        if encoder is not None:
            same = places.read == places.write
            read = written if same else model.capture(batch.tokens, places.read)
            firings = encoder.encode_sparse(read[batch.text])
            maxima.scatter_reduce_(0, firings.features, firings.values, "amax")
    return _TextStatistics(total / max(1, n_tokens), None if encoder is None else maxima)


def add_fit(
    sums: EvaluationSums, batch: TextBatch, x: Tensor, x_hat: Tensor, firings: Firings, mean: Tensor
) -> None:
    """Add squared errors and active features of the text tokens: x and x_hat [n, d_out]."""
    rows, positions = (at.cpu().numpy() for at in batch.text.nonzero(as_tuple=True))
    exact = x.double()
    sums.add_tokens(
        batch.windows[rows],
        positions,
        torch.bincount(firings.rows, minlength=len(x)).cpu().numpy(),
        (exact - x_hat.double()).square().sum(dim=-1).cpu().numpy(),
        (exact - mean).square().sum(dim=-1).cpu().numpy(),
    )
    sums.add_firings(firings.features.cpu().numpy())


def _add_losses(
    sums: EvaluationSums, batch: TextBatch, run: CleanRun, x_hat: Tensor, mean: Tensor
) -> None:
    """Add losses of the clean model and of those in which x at text positions is replaced."""
    documents = batch.documents
    sums.add_targets(documents)
    columns = compared_losses(run.model, run.hidden, _replaced(run, batch, x_hat), batch)
    for name, values in zip(("l_clean", "l_recon", "kl"), columns, strict=True):
        sums.add_losses(name, documents, values.cpu().numpy())
    for name, replacement in (("l_zero", torch.zeros_like(mean)), ("l_mean", mean)):
        losses = token_losses(run.model, _replaced(run, batch, replacement), batch)
        sums.add_losses(name, documents, losses.cpu().numpy())


def _add_bands(
    sums: EvaluationSums,
    batch: TextBatch,
    run: CleanRun,
    dictionary: Dictionary,
    firings: Firings,
    maxima: Tensor,
) -> None:
    """Add losses with the firings of a band and above alone; see `activation_bands`."""
    documents, read = batch.documents, run.read[batch.text]
    bands = bands_of(firings, maxima)
    sums.add_band_firings(bands.cpu().numpy(), firings.values.cpu().numpy())
    for lowest in range(1, N_BANDS + 1):
        kept = dictionary.decode_sparse(from_band_up(firings, bands, lowest), read)
        kept = kept.to(run.x.dtype)
        losses = token_losses(run.model, _replaced(run, batch, kept), batch)
        sums.add_band_loss(lowest, documents, losses.cpu().numpy())


def _replaced(run: CleanRun, batch: TextBatch, x: Tensor) -> Tensor:
    """Final hidden states with x [n, d_out] or [d_out] at the text positions."""
    replaced = run.x.clone()
    replaced[batch.text] = x
    return run.rerun(replaced)


def token_losses(model: LanguageModel, hidden: Tensor, batch: TextBatch) -> Tensor:
    """-log p of each target, float64 [n], from final hidden states [batch, pos, d_model]."""
    states, expected = hidden[:, :-1][batch.targets], batch.tokens[:, 1:][batch.targets]
    return -torch.cat([p.double() for p in log_probabilities_of(model, states, expected)])


def compared_losses(
    model: LanguageModel, clean: Tensor, other: Tensor, batch: TextBatch
) -> tuple[Tensor, Tensor, Tensor]:
    """Both losses of each target and KL(clean || other) of its prediction, float64 [n] each."""
    expected = batch.tokens[:, 1:][batch.targets]
    columns = torch.zeros(3, len(expected), dtype=torch.float64, device=expected.device)
    both = (log_probabilities(model, h[:, :-1][batch.targets]) for h in (clean, other))
    # Piece by piece: the logits of all targets may not fit into memory.
    begin = 0
    for log_p, log_q in zip(*both, strict=True):
        piece = slice(begin, begin + len(log_p))
        for column, values in zip(columns, (log_p, log_q), strict=False):
            column[piece] = -values.gather(-1, expected[piece, None])[:, 0]
        divergence = functional.kl_div(log_q, log_p, reduction="none", log_target=True)
        columns[2, piece] = divergence.sum(dim=-1, dtype=torch.float64)
        begin += len(log_p)
    clean_loss, other_loss, divergences = columns
    return clean_loss, other_loss, divergences
