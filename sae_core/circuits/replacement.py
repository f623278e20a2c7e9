"""Replacing what several blocks write at once, by transcoders of each or by a cross-layer one.

What the replaced model loses says how far a graph of features can be one of the model: later blocks
read what the earlier reconstructions left of the stream, so errors add up, as they do there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Dictionary, Firings
from sae_core.dictionaries.places import Places, check_order, places_of
from sae_core.errors import HookPointError
from sae_core.evaluation.evaluation import (
    EvaluatedText,
    TextBatch,
    add_fit,
    compared_losses,
    token_losses,
)
from sae_core.evaluation.figures import Evaluation
from sae_core.evaluation.sums import EvaluationSums
from sae_core.language_model.hook_point import HookPoint, in_every_block
from sae_core.language_model.model import LanguageModel
from sae_core.text.tokenized import Windows


@dataclass(frozen=True)
class ReplacementEvaluation:
    """How good several reconstructions are together.

    Attributes:
        evaluation: figures of all places: L0 and dead features over all of them; FVU of what they
            write, side by side; L_recon, L_zero and L_mean with all of them replaced, each block
            reading what the blocks before it, replaced as well, left in the stream.
        fvu: of each place alone, on the model's own activations.
    """

    evaluation: Evaluation
    fvu: tuple[float, ...]


def evaluate_together(
    model: LanguageModel,
    dictionaries: CrossLayerTranscoder | Sequence[Dictionary],
    windows: Windows,
    numbers: NDArray[np.int64],
    on_windows: Callable[[int], None] | None = None,
) -> ReplacementEvaluation:
    """Evaluate a cross-layer transcoder, or several dictionaries at once.

    BOS and padding keep what the model itself writes there, are not encoded and are no targets.

    Args:
        model: the language model that they read.
        dictionaries: a cross-layer transcoder, or one dictionary for each of several places; layers
            of a cross-layer transcoder write into all later ones of these places.
        windows: the text.
        numbers: numbers of the windows to evaluate on, int64 [n].
        on_windows: called after every batch with how many windows are done.

    Raises:
        HookPointError: they do not belong to the model, or two of them write in one place.
        HarvestError: there is too little text for figures.
    """
    parts: _Parts
    if isinstance(dictionaries, CrossLayerTranscoder):
        parts = _CrossLayer(model, dictionaries)
    else:
        parts = _Separate(model, dictionaries)
    with torch.inference_mode():
        return _evaluate(model, parts, EvaluatedText(model, windows, numbers), windows, on_windows)


class _Parts(ABC):
    """What is replaced, in the order in which the model computes it."""

    def __init__(self, places: Sequence[Places], d_sae: int) -> None:
        self.places, self.d_sae = places, d_sae

    @abstractmethod
    def reconstructed(self, inputs: Callable[[int], Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each place in order, given what is read there [n, d_in]: activations [n, features]
        and what is written in place of the model's own [n, d_out]. An input is asked for when its
        turn comes."""


class _Separate(_Parts):
    def __init__(self, model: LanguageModel, dictionaries: Sequence[Dictionary]) -> None:
        places = [places_of(model, dictionary) for dictionary in dictionaries]
        order = sorted(range(len(places)), key=lambda i: places[i].write.layer)
        if len({places[i].write.name for i in order}) < len(order):
            raise HookPointError("Two of the dictionaries write in one place: leave one out.")
        self._dictionaries = [dictionaries[i] for i in order]
        super().__init__([places[i] for i in order], sum(d.d_sae for d in dictionaries))

    @override
    def reconstructed(self, inputs: Callable[[int], Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        # What earlier blocks' features add to what is written in a later one; where nothing is
        # replaced there, it goes without.
        before: dict[HookPoint, Tensor] = {}
        for i, (places, dictionary) in enumerate(zip(self.places, self._dictionaries, strict=True)):
            x = inputs(i)
            acts = dictionary.encode(x)
            y_hat = dictionary.decode(acts, x)
            if places.write in before:
                y_hat = y_hat + before.pop(places.write)
            yield acts, y_hat
            for point, rows in zip(places.later, dictionary.later_rows, strict=True):
                write = acts @ rows
                before[point] = before[point] + write if point in before else write


class _CrossLayer(_Parts):
    def __init__(self, model: LanguageModel, clt: CrossLayerTranscoder) -> None:
        names = [
            in_every_block(name, model.n_layers) for name in (clt.hook_point, clt.output_hook_point)
        ]
        if clt.layers != model.n_layers:
            raise HookPointError(
                f"A cross-layer transcoder of {clt.layers} blocks does not fit a model of "
                f"{model.n_layers}."
            )
        places = [
            Places(
                model.hook_point(read, clt.d_in // clt.layers),
                model.write_point(write, clt.d_out // clt.layers),
            )
            for read, write in zip(*names, strict=True)
        ]
        for place in places:
            check_order(model, place)
        self._clt = clt
        super().__init__(places, clt.d_sae)

    @override
    def reconstructed(self, inputs: Callable[[int], Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        clt, written = self._clt, list(self._clt.b_dec.view(self._clt.layers, -1))
        for layer in range(clt.layers):
            acts = clt.encode_layer(inputs(layer), layer)
            for later, write in enumerate(clt.writes(acts, layer).unbind(1), layer):
                written[later] = written[later] + write
            yield acts, written[layer]


def _evaluate(
    model: LanguageModel,
    parts: _Parts,
    text: EvaluatedText,
    windows: Windows,
    on_windows: Callable[[int], None] | None,
) -> ReplacementEvaluation:
    writes = [places.write for places in parts.places]
    reads = [places.read for places in parts.places]
    widths = [write.d_in for write in writes]
    # The means first, which replace what is written in L_mean and bound the variance.
    total = torch.zeros(sum(widths), dtype=torch.float64, device=model.device)
    n_tokens = 0
    for batch in text.batches():
        y = _side_by_side(model.capture_each(batch.tokens, writes), batch)
        total += y.sum(dim=0, dtype=torch.float64)
        n_tokens += len(y)
    mean = total / max(1, n_tokens)
    sums = EvaluationSums(text.n_documents, windows.n_ctx, parts.d_sae)
    squares = torch.zeros(2, len(widths), dtype=torch.float64, device=model.device)
    done = 0
    for batch in text.batches():
        captured = model.capture_each(batch.tokens, _distinct(reads + writes))
        at = dict(zip(_distinct(reads + writes), captured, strict=True))
        inputs = [at[read][batch.text] for read in reads]
        pairs = list(parts.reconstructed(inputs.__getitem__))
        y = _side_by_side([at[write] for write in writes], batch)
        y_hat = torch.cat([write for _, write in pairs], dim=1)
        acts = torch.cat([part for part, _ in pairs], dim=1)
        rows, features = acts.nonzero(as_tuple=True)
        firings = Firings(rows, features, acts[rows, features])
        add_fit(sums, batch, y, y_hat.to(y.dtype), firings, mean)
        for kind, difference in enumerate((y.double() - y_hat.double(), y.double() - mean)):
            for i, part in enumerate(torch.split(difference, widths, dim=1)):
                squares[kind, i] += part.square().sum()
        _add_losses(sums, model, parts, batch, list(torch.split(mean, widths)))
        done += len(batch.tokens)
        if on_windows is not None:
            on_windows(done)
    fvu = tuple((squares[0] / squares[1]).tolist())
    return ReplacementEvaluation(sums.evaluation(), fvu)


def _add_losses(
    sums: EvaluationSums,
    model: LanguageModel,
    parts: _Parts,
    batch: TextBatch,
    means: list[Tensor],
) -> None:
    """Add losses of the model as it is, and of those in which all places are replaced."""
    documents, clean = batch.documents, model.final_hidden(batch.tokens)
    sums.add_targets(documents)
    with _with_reconstructions(model, parts, batch):
        replaced = model.final_hidden(batch.tokens)
    columns = compared_losses(model, clean, replaced, batch)
    for name, values in zip(("l_clean", "l_recon", "kl"), columns, strict=True):
        sums.add_losses(name, documents, values.cpu().numpy())
    for name, constants in (
        ("l_zero", [torch.zeros_like(mean) for mean in means]),
        ("l_mean", means),
    ):
        with ExitStack() as stack:
            for places, constant in zip(parts.places, constants, strict=True):
                edit = _at_text(batch, constant)
                stack.enter_context(model.replaced(places.write, edit))
            hidden = model.final_hidden(batch.tokens)
        sums.add_losses(name, documents, token_losses(model, hidden, batch).cpu().numpy())


@contextmanager
def _with_reconstructions(model: LanguageModel, parts: _Parts, batch: TextBatch) -> Iterator[None]:
    """Within the block a forward pass writes reconstructions of what it itself reads."""
    read: dict[int, Tensor] = {}
    writes = parts.reconstructed(lambda i: read.pop(i))

    def keep(i: int) -> Callable[[Tensor], None]:
        def touch(x: Tensor) -> None:
            read[i] = x[batch.text]

        return touch

    def edit(x: Tensor) -> Tensor:
        return _at_text(batch, next(writes)[1])(x)

    with model.lock, ExitStack() as stack:
        for i, places in enumerate(parts.places):
            # A place that is read and written at once is read first.
            stack.enter_context(model.touching(places.read.layer, places.read.kind, keep(i)))
            stack.enter_context(model.replaced(places.write, edit))
        yield


def _at_text(batch: TextBatch, value: Tensor) -> Callable[[Tensor], Tensor]:
    """An edit that puts a value, [n, d] or [d], at the text positions."""

    def edit(x: Tensor) -> Tensor:
        changed = x.clone()
        changed[batch.text] = value.to(x.dtype)
        return changed

    return edit


def _side_by_side(captured: Sequence[Tensor], batch: TextBatch) -> Tensor:
    return torch.cat([x[batch.text] for x in captured], dim=1)


def _distinct(items: list[HookPoint]) -> list[HookPoint]:
    return list(dict.fromkeys(items))
