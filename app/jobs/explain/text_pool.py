"""Windows of text, with the activations of chosen features on each of their tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.jobs.explain.excerpts import Excerpt, cut
from app.jobs.source import Source
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.screening import screened

BATCH_WINDOWS = 32
SAMPLE_TOKENS = 8192


@dataclass(frozen=True)
class PooledFirings:
    """Where a feature fires in a pool.

    Attributes:
        places: window x n_ctx + position, ascending, int64 [n].
        values: the activations there, model units, float32 [n].
    """

    places: NDArray[np.int64]
    values: NDArray[np.float32]


class TextPool:
    """Some windows of a source's text.

    Args:
        source: model, dictionary and text.
        numbers: of the windows, int64 [n]; ascending from here on, each once.

    Attributes:
        numbers: of the windows.
        documents: the document of each.
        n_tokens: of text in all.
    """

    def __init__(self, source: Source, numbers: NDArray[np.int64]) -> None:
        self._source = source
        self.numbers = np.unique(numbers)
        self.documents = source.windows.document_of(self.numbers)
        self._tokens, mask = source.windows.gather(self.numbers)
        self._is_text = mask & ~source.model.vocabulary.is_special[self._tokens]
        self.n_tokens = int(self._is_text.sum())
        self._n_ctx = self._tokens.shape[1]

    @torch.inference_mode()
    def sample(self, seed: int) -> Tensor:
        """Activations at the dictionary's hook point, of some thousand tokens, [n, d_in]."""
        drawn = np.random.default_rng(seed).permutation(len(self.numbers))
        parts, total = [], 0
        for begin in range(0, len(drawn), BATCH_WINDOWS):
            x = self._activations(np.sort(drawn[begin : begin + BATCH_WINDOWS]))
            parts.append(x)
            total += len(x)
            if total >= SAMPLE_TOKENS:
                break
        return torch.cat(parts)

    @torch.inference_mode()
    def firings(
        self,
        wanted: Mapping[Dictionary, Collection[int]],
        on_windows: Callable[[int], object] = lambda _: None,
    ) -> dict[Dictionary, dict[int, PooledFirings]]:
        """Where features of some dictionaries at one hook point fire, in one pass of the model.

        Args:
            wanted: the features of each dictionary.
            on_windows: told how many windows were read, batch after batch.
        """
        encoders = {dictionary: screened(dictionary) for dictionary in wanted}
        chosen = {d: np.array(sorted(features), np.int64) for d, features in wanted.items()}
        parts: dict[Dictionary, list[tuple[NDArray[np.int64], ...]]] = {d: [] for d in wanted}
        values: dict[Dictionary, list[NDArray[np.float32]]] = {d: [] for d in wanted}
        for begin in range(0, len(self.numbers), BATCH_WINDOWS):
            rows = np.arange(begin, min(begin + BATCH_WINDOWS, len(self.numbers)))
            x = self._activations(rows)
            text = begin * self._n_ctx + np.flatnonzero(self._is_text[rows])
            for dictionary, encoder in encoders.items():
                fired = encoder.encode_sparse(x)
                features = fired.features.cpu().numpy()
                kept = np.isin(features, chosen[dictionary])
                parts[dictionary].append((text[fired.rows.cpu().numpy()[kept]], features[kept]))
                values[dictionary].append(fired.values.cpu().numpy()[kept])
            on_windows(len(rows))
        return {d: _by_feature(chosen[d], parts[d], values[d]) for d in wanted}

    def excerpts(self, firings: PooledFirings) -> list[Excerpt]:
        """One excerpt of each document in which a feature fires, around its strongest firing."""
        windows = firings.places // self._n_ctx
        documents = self.documents[windows]
        order = np.lexsort((firings.places, -firings.values, documents))
        _, first = np.unique(documents[order], return_index=True)
        return [self._cut(int(firings.places[i]), firings) for i in order[first]]

    def silent_excerpts(self, firings: PooledFirings, around: NDArray[np.int64]) -> list[Excerpt]:
        """Excerpts around places where the feature does not fire at all, one of a document.

        Args:
            firings: of the feature.
            around: places to look at, in the order in which they are preferred.
        """
        seen: set[int] = set()
        out = []
        for place in around.tolist():
            document = int(self.documents[place // self._n_ctx])
            if document in seen:
                continue
            excerpt = self._cut(place, firings)
            if excerpt.maximum == 0.0:
                seen.add(document)
                out.append(excerpt)
        return out

    def places(self, seed: int) -> NDArray[np.int64]:
        """All places of text, in random order."""
        places = np.flatnonzero(self._is_text)
        drawn: NDArray[np.int64] = np.random.default_rng(seed).permutation(places)
        return drawn

    def beginning(self, place: int, n: int) -> tuple[int, ...]:
        """The first tokens of the window of a place, the opening one included, at most `n`."""
        row = place // self._n_ctx
        lead = self._n_ctx - self._source.windows.n_text
        end = min(n + lead, lead + int(self._is_text[row].sum()))
        return tuple(self._tokens[row, :end].tolist())

    def _activations(self, rows: NDArray[np.intp]) -> Tensor:
        """At the hook point, of the text tokens of some windows, [n, d_in]."""
        model = self._source.model
        hook_point = model.hook_point(self._source.dictionary.hook_point)
        device = self._source.dictionary.b_dec.device
        tokens = torch.from_numpy(self._tokens[rows]).to(device)
        x = model.capture(tokens, hook_point)
        return x[torch.from_numpy(self._is_text[rows]).to(device)].float()

    def _cut(self, place: int, firings: PooledFirings) -> Excerpt:
        row, position = divmod(place, self._n_ctx)
        inside = np.flatnonzero(self._is_text[row])
        values = np.zeros(self._n_ctx, np.float32)
        first, last = np.searchsorted(firings.places, (row * self._n_ctx, (row + 1) * self._n_ctx))
        values[firings.places[first:last] - row * self._n_ctx] = firings.values[first:last]
        vocabulary = self._source.model.vocabulary.pieces
        pieces = [vocabulary[token] for token in self._tokens[row, inside]]
        peak = int(np.searchsorted(inside, position))
        return cut(pieces, values[inside], peak, int(self.numbers[row]), int(self.documents[row]))


def _by_feature(
    chosen: NDArray[np.int64],
    parts: list[tuple[NDArray[np.int64], ...]],
    values: list[NDArray[np.float32]],
) -> dict[int, PooledFirings]:
    places = np.concatenate([part[0] for part in parts])
    features = np.concatenate([part[1] for part in parts])
    joined = np.concatenate(values)
    order = np.lexsort((places, features))
    places, features, joined = places[order], features[order], joined[order]
    ends = np.searchsorted(features, chosen, side="right")
    begins = np.searchsorted(features, chosen)
    return {
        int(feature): PooledFirings(places[begin:end], joined[begin:end])
        for feature, begin, end in zip(chosen, begins, ends, strict=True)
    }
