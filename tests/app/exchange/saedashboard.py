"""Exports as SAEDashboard and Neuronpedia write them: rounded, with quirks, by their own rules.

Written from `sae_dashboard/neuronpedia` (converter, dashboard and export modules), not from our
exporter.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

N_PROMPTS, N_TOKENS_IN_PROMPT = 64, 24
WORDS = [" the", " cat", "<b>sat</b>", "\n", " on", "▁mat", ".", "é", "<|endoftext|>", "&amp;"]


def prompts() -> list[list[str]]:
    rng = np.random.default_rng(3)
    return [
        [WORDS[i] for i in rng.integers(0, len(WORDS), N_TOKENS_IN_PROMPT)]
        for _ in range(N_PROMPTS)
    ]


def acts(feature: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The activations of a feature on all prompts; feature 3 is dead."""
    rng = np.random.default_rng([5, feature])
    raw = rng.normal(-0.8, 1.0, (N_PROMPTS, N_TOKENS_IN_PROMPT)) * (feature != 3)
    return np.maximum(raw, 0).astype(np.float32)


def _rounded(values: Any) -> list[float]:
    return [float(x) for x in np.round(values, 3)]


def feature(index: int) -> dict[str, Any]:
    """A feature with five intervals, the lowest of which counts the zeros."""
    made: dict[str, Any] = json.loads(_feature(index))
    return made


@cache
def _feature(index: int, n_quantiles: int = 5) -> str:
    a, rng = acts(index), np.random.default_rng([7, index])
    nonzero = a[a > 0]
    heights, edges = np.histogram(nonzero, bins=40) if len(nonzero) else (np.zeros(0), np.zeros(1))
    logit_heights, logit_edges = np.histogram(rng.normal(size=500), bins=40)
    texts, activations = prompts(), []

    def add(rows: Any, columns: Any, low: float, high: float, share: float) -> None:
        for row, column in zip(rows, columns, strict=True):
            activations.append(
                {
                    "bin_min": low,
                    "bin_max": high,
                    "bin_contains": share,
                    "tokens": texts[row],
                    "values": _rounded(a[row]),
                    "qualifying_token_index": int(column),
                }
            )

    top = np.argsort(-a, axis=None)[:20]
    add(*np.unravel_index(top, a.shape), -1, round(float(a.max()), 3), -1)
    quantiles = np.linspace(0, float(a.max()), n_quantiles + 1)
    for i in range(n_quantiles - 1, -1, -1):
        lower, upper = quantiles[i], quantiles[i + 1]
        inside = (a >= lower) & (a <= upper)
        chosen = np.flatnonzero(inside.reshape(-1))
        chosen = rng.choice(chosen, min(5, len(chosen)), replace=False)
        share = float(f"{100 * inside.mean():.3f}") / 100
        add(*np.unravel_index(chosen, a.shape), round(lower, 3), round(upper, 3), share)
    made = {
        "feature_index": index,
        "neuron_alignment_indices": [4, 2, 9],
        "neuron_alignment_values": [0.5, -0.25, 0.125],
        "neuron_alignment_l1": [0.2, 0.1, 0.05],
        "correlated_neurons_indices": [1],
        "correlated_neurons_l1": [0.3],
        "correlated_neurons_pearson": [0.4],
        "correlated_features_indices": [],
        "correlated_features_l1": [],
        "correlated_features_pearson": [],
        "neg_str": WORDS[:5],
        "neg_values": [-0.9, -0.8, -0.7, -0.6, -0.5],
        "pos_str": WORDS[5:],
        "pos_values": [0.9, 0.8, 0.7, 0.6, 0.5],
        "frac_nonzero": float(f"{100 * (a > 0).mean():.3f}") / 100,
        "freq_hist_data_bar_values": _rounded((edges[:-1] + edges[1:]) / 2),
        "freq_hist_data_bar_heights": _rounded(heights),
        "logits_hist_data_bar_heights": _rounded(logit_heights),
        "logits_hist_data_bar_values": _rounded((logit_edges[:-1] + logit_edges[1:]) / 2),
        "n_prompts_total": N_PROMPTS,
        "n_tokens_in_prompt": N_TOKENS_IN_PROMPT,
        "dataset": "monology/pile-uncopyrighted",
        "decoder_weights_dist": [],
        "activations": activations,
    }
    return json.dumps(made)


def batch(indices: range | list[int]) -> dict[str, Any]:
    return {
        "model_id": "gpt2-small",
        "layer": 6,
        "sae_set": "res-jb",
        "features": [feature(index) for index in indices],
    }


def write_batches(folder: Path, packed: bool = False) -> Path:
    folder.mkdir()
    for number, indices in enumerate((range(3), range(3, 5))):
        data = json.dumps(batch(indices)).encode()
        if packed:
            (folder / f"batch-{number}.json.gz").write_bytes(gzip.compress(data, mtime=0))
        else:
            (folder / f"batch-{number}.json").write_bytes(data)
    (folder / "skipped_indexes.json").write_text('{"skipped_indexes": []}')
    return folder


def write_export(folder: Path) -> Path:
    """The same features as Neuronpedia exports them: by table, a row a line."""
    features, activations = [], []
    for index in range(5):
        made = feature(index)
        for one in made.pop("activations"):
            activations.append(
                {
                    "id": f"c{len(activations)}",
                    "modelId": "gpt2-small",
                    "layer": "6-res-jb",
                    "index": str(index),
                    "tokens": one["tokens"],
                    "values": one["values"],
                    "maxValue": max(one["values"]),
                    "minValue": min(one["values"]),
                    "maxValueTokenIndex": int(np.argmax(one["values"])),
                    "dfaValues": [],
                    "binMin": one["bin_min"],
                    "binMax": one["bin_max"],
                    "binContains": one["bin_contains"],
                }
            )
        for key in ("feature_index", "n_prompts_total", "n_tokens_in_prompt", "dataset"):
            made.pop(key)
        features.append(
            {
                **made,
                "modelId": "gpt2-small",
                "layer": "6-res-jb",
                "index": str(index),
                "maxActApprox": float(acts(index).max()),
                "topkCosSimIndices": [index, 1, 2],
                "topkCosSimValues": [1.0, 0.5, 0.25],
                "vector": [0.0] * 16,
                "hasVector": True,
                "hookName": "blocks.6.hook_resid_pre",
            }
        )
    explanations = [
        {"modelId": "gpt2-small", "layer": "6-res-jb", "index": "1", "description": "<i>cats</i>"},
        {"modelId": "gpt2-small", "layer": "6-res-jb", "index": "1", "description": "another"},
        {"modelId": "gpt2-small", "layer": "6-res-jb", "index": "99", "description": "nobody"},
    ]
    for name, rows in (
        ("features", features),
        ("activations", activations[::-1]),
        ("explanations", explanations),
    ):
        (folder / name).mkdir(parents=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name / "batch-0.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    source = {"id": "6-res-jb", "num_prompts": N_PROMPTS, "dataset": "monology/pile"}
    source |= {"num_tokens_in_prompt": N_TOKENS_IN_PROMPT}
    (folder / "source.jsonl").write_text(json.dumps(source) + "\n")
    return folder
