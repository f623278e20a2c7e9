"""A dictionary as SAEDashboard writes one for Neuronpedia: `batch-N.json` and what belongs to it.

What the format has no place for is left out: the weakest contexts, nearest and co-firing features,
documents, ablations, and what a feature fires on. Where SAEDashboard rounds to three decimals,
numbers here are exact, so that reading them back gives them again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.exchange.neuronpedia.explanations import explanation_lines, layer_of, packed
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureView
from sae_core.files.atomic import atomic_file, atomic_folder
from sae_core.harvest.records import ExampleGroup, GroupKind, Histogram, Ranking, WindowRecord
from sae_core.language_model.vocabulary import Vocabulary

PER_BATCH = 64
_UNDECODED = re.compile("[\udc80-\udcff]")


def export_dictionary(
    store: Store,
    dictionary: DictionaryView,
    folder: Path,
    say: Callable[[int], None] = lambda _: None,
) -> None:
    """Write all features of a dictionary into a new folder.

    Args:
        store: where it is.
        dictionary: published.
        folder: must not exist yet.
        say: is told how many features are written.

    Raises:
        InvalidRequest: the folder exists, or nothing is published of the dictionary.
        DiskError: it cannot be written; nothing is left behind.
    """
    if dictionary.harvest is None:
        raise InvalidRequest(f"Nothing is published of {dictionary.title} yet: harvest it first.")
    if folder.exists():
        raise InvalidRequest(f"{folder} exists already: name a folder that does not.")
    texts = _Texts(store.vocabulary(dictionary.model_id))
    with atomic_folder(folder) as draft:
        for number, begin in enumerate(range(0, dictionary.d_sae, PER_BATCH)):
            indices = range(begin, min(begin + PER_BATCH, dictionary.d_sae))
            views = [store.feature(dictionary, index) for index in indices]
            batch = {
                "model_id": dictionary.model,
                "layer": layer_of(dictionary),
                "sae_set": dictionary.name,
                "features": [_feature(view, texts) for view in views],
            }
            with atomic_file(draft / f"batch-{number}.json") as file:
                file.write_text(json.dumps(batch))
            say(indices.stop)
        with atomic_file(draft / "run_settings.json") as file:
            file.write_text(json.dumps(_settings(dictionary), indent=2) + "\n")
        lines = list(explanation_lines(dictionary, store.labels.every(dictionary)))
        if lines:
            with atomic_file(draft / "explanations" / "batch-0.jsonl.gz") as file:
                file.write_bytes(packed(lines, small=True))


class _Texts:
    """Tokens as the strings that JSON readers everywhere take."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.special = vocabulary.special
        self._pieces = vocabulary.pieces
        self._text = cache(self._spell)

    def __call__(self, ids: NDArray[Any]) -> list[str]:
        """The tokens' texts; a byte that is no UTF-8, and NUL, are spelled out as `\\xe2`."""
        return [self._text(token) for token in ids.tolist()]

    def _spell(self, token: int) -> str:
        text = self._pieces[token].decode("utf-8", "surrogateescape")
        text = _UNDECODED.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)
        return text.replace("\x00", "\\x00")


def _feature(view: FeatureView, texts: _Texts) -> dict[str, Any]:
    """Every field of `NeuronpediaDashboardFeature`, in its order."""
    record, of = view.record, view.dictionary
    harvest = of.harvest
    assert harvest is not None
    return {
        "feature_index": record.index,
        "neuron_alignment_indices": record.neurons.ids.tolist(),
        "neuron_alignment_values": _floats(record.neurons.weights),
        "neuron_alignment_l1": _floats(record.neurons.shares),
        "correlated_neurons_indices": [],
        "correlated_neurons_l1": [],
        "correlated_neurons_pearson": [],
        "correlated_features_indices": [],
        "correlated_features_l1": [],
        "correlated_features_pearson": [],
        **_tokens("neg", record.lowered, texts),
        **_tokens("pos", record.raised, texts),
        "frac_nonzero": record.firings / max(1, of.n_tokens),
        **_bars("freq_hist_data", record.activations),
        **_bars("logits_hist_data", record.logits),
        "n_prompts_total": harvest.n_windows,
        "n_tokens_in_prompt": harvest.n_ctx,
        "dataset": harvest.corpus,
        "decoder_weights_dist": [],
        "activations": [
            activation for group in record.groups for activation in _contexts(group, view, texts)
        ],
    }


def _contexts(group: ExampleGroup, view: FeatureView, texts: _Texts) -> Iterator[dict[str, Any]]:
    """The contexts of a group; the weakest firings have no place in the format."""
    if group.kind is GroupKind.WEAKEST:
        return
    head = _interval(group, view)
    examples = group.examples
    for i, number in enumerate(examples.windows.tolist()):
        own = slice(int(examples.bounds[i]), int(examples.bounds[i + 1]))
        window: WindowRecord = view.windows[number]
        values = np.zeros(len(window.tokens), dtype=np.float32)
        values[examples.positions[own]] = examples.values[own]
        lead = 1 if len(window.tokens) > 1 and int(window.tokens[0]) in texts.special else 0
        yield {
            **head,
            "tokens": texts(window.tokens[lead:]),
            "values": _floats(values[lead:]),
            "qualifying_token_index": int(examples.peaks[i]) - lead,
        }


def _interval(group: ExampleGroup, view: FeatureView) -> Mapping[str, float]:
    """Ends of a group, and the share of all tokens between them: as in SAEDashboard the tokens on
    which the feature does not fire count into the lowest interval."""
    if group.kind is GroupKind.TOP:
        return {"bin_min": -1.0, "bin_max": view.record.maximum, "bin_contains": -1.0}
    n_tokens = max(1, view.dictionary.n_tokens)
    inside = group.firings
    if group.low <= 0.0:
        inside += n_tokens - view.record.firings
    return {"bin_min": group.low, "bin_max": group.high, "bin_contains": inside / n_tokens}


def _tokens(name: str, ranking: Ranking, texts: _Texts) -> dict[str, Any]:
    return {f"{name}_str": texts(ranking.ids), f"{name}_values": _floats(ranking.weights)}


def _bars(name: str, histogram: Histogram) -> dict[str, Any]:
    """Counts, and the centres of their buckets."""
    counts = histogram.counts.tolist()
    width = (histogram.high - histogram.low) / max(1, len(counts))
    return {
        f"{name}_bar_values": [histogram.low + (i + 0.5) * width for i in range(len(counts))],
        f"{name}_bar_heights": counts,
    }


def _floats(values: NDArray[Any]) -> list[float]:
    """float32 with the fewest digits that give it again."""
    return [float(str(value)) if value else 0.0 for value in values]


def _settings(dictionary: DictionaryView) -> dict[str, Any]:
    """What SAEDashboard notes of a run, as far as it applies, and where the numbers come from."""
    harvest = dictionary.harvest
    assert harvest is not None
    return {
        "sae_set": dictionary.name,
        "huggingface_dataset_path": harvest.corpus,
        "sae_dtype": dictionary.dtype,
        "model_dtype": dictionary.model_dtype,
        "n_prompts_total": harvest.n_windows,
        "n_tokens_in_prompt": harvest.n_ctx,
        "model_id": dictionary.model,
        "layer": layer_of(dictionary),
        "hook_point": dictionary.hook_point,
        **({"output_hook_point": dictionary.output_hook_point} if dictionary.is_transcoder else {}),
        "exported_by": "featurescope",
        "n_tokens": dictionary.n_tokens,
        "model_checksum": dictionary.model_checksum,
        "dictionary_checksum": dictionary.checksum,
        "corpus_fingerprint": harvest.fingerprint,
    }
