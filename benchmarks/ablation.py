"""Ablation end to end: `python -m benchmarks.ablation [MODEL/DICTIONARY]`, about a minute.

Serves a copy of the store whose cached ablations are removed, with its own worker, as
`featurescope serve` does, and asks over HTTP for the top contexts of features nobody has looked at:
fragment request, worker, ablation, cache, HTML. Then the same again, cached. Then compares what was
cached with brute force in float64: two whole forward passes a context, no shortcut.
"""

from __future__ import annotations

import os
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from app.errors import FeaturescopeError
from app.settings import Settings, read_settings
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView
from benchmarks.served import serving
from sae_core.harvest.records import ContextEffect, GroupKind, WindowRecord

DEFAULT = "demo/mlp-4096"
N_FEATURES = 100
N_COMPARED = 5
SEED = 0
P95_AT_MOST_MS = 300.0
DIFFERENCE_AT_MOST = 1e-4


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        title: model and dictionary.
        contexts: in each request, on average.
        uncached_ms: of each feature's first request.
        cached_ms: of its second.
        difference: largest deviation from brute force, nats.
        compared: token positions behind it.
    """

    title: str
    contexts: float
    uncached_ms: tuple[float, ...]
    cached_ms: tuple[float, ...]
    difference: float
    compared: int

    def report(self) -> str:
        """Lines for the README."""
        uncached, cached = (
            f"p50 {np.percentile(times, 50):.0f} ms, p95 {np.percentile(times, 95):.0f} ms"
            for times in (self.uncached_ms, self.cached_ms)
        )
        return "\n".join(
            [
                f"ablation, {self.title}, {len(self.uncached_ms)} features, "
                f"{self.contexts:.1f} contexts each, {os.cpu_count()} cores, {platform.machine()}",
                f"  uncached, over HTTP: {uncached} (at most {P95_AT_MOST_MS:.0f} ms p95)",
                f"  cached, over HTTP:   {cached}",
                f"  largest difference from float64 brute force: {self.difference:.1e} nats over "
                f"{self.compared} positions (at most {DIFFERENCE_AT_MOST:.0e})",
            ]
        )

    @property
    def holds(self) -> bool:
        """Whether what is promised was kept."""
        late = float(np.percentile(self.uncached_ms, 95)) > P95_AT_MOST_MS
        return not late and self.difference <= DIFFERENCE_AT_MOST


def main(arguments: Sequence[str] = ()) -> int:
    """Measure and print; 1 where a promise was not kept."""
    result = measure(read_settings(), arguments[0] if arguments else DEFAULT)
    print(result.report())
    return 0 if result.holds else 1


def measure(settings: Settings, title: str, n_features: int = N_FEATURES) -> Result:
    """Measure one dictionary of the store that the settings name."""
    with tempfile.TemporaryDirectory() as folder:
        copied = copy_without_effects(settings, Path(folder))
        with open_store(copied, upgrade=False) as store:
            model, _, name = title.partition("/")
            dictionary = store.dictionary(model, name)
            features = alive_features(store, dictionary, n_features + 1)
            with serving(copied) as served:
                http = served.http
                # The first request loads the model: measured is a worker that is in use.
                fetch(http, dictionary, features[0])
                uncached = tuple(fetch(http, dictionary, index) for index in features[1:])
                cached = tuple(fetch(http, dictionary, index) for index in features[1:])
            shown = {index: top_windows(store, dictionary, index) for index in features[1:]}
            stored = {
                index: store.effects(dictionary, index, [window.number for window in windows])
                for index, windows in shown.items()
            }
            if any(len(stored[index]) != len(windows) for index, windows in shown.items()):
                raise FeaturescopeError("A request was answered before its effects were there.")
            compared = features[1 : 1 + N_COMPARED]
            difference, positions = compare(
                dictionary, {i: (shown[i], stored[i]) for i in compared}
            )
    contexts = sum(map(len, shown.values())) / len(shown)
    return Result(title, contexts, uncached, cached, difference, positions)


def copy_without_effects(settings: Settings, folder: Path) -> Settings:
    """A store like the one that the settings name, with nothing cached."""
    if not settings.url.startswith("sqlite:///"):
        raise FeaturescopeError("This benchmark copies the store, so it takes a SQLite one.")
    source = Path(settings.url.removeprefix("sqlite:///"))
    if not source.exists():
        raise FeaturescopeError(f"There is no store at {source}: run `make demo` first.")
    target = folder / "featurescope.db"
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
        new.execute("DELETE FROM effect")
        new.commit()
    return read_settings(
        home=folder,
        database_url=f"sqlite:///{target}",
        device=settings.device,
        worker_threads=settings.worker_threads,
    )


def alive_features(store: Store, dictionary: DictionaryView, n: int) -> list[int]:
    """Different features that fire, drawn with a fixed seed."""
    draw = random.Random(SEED)
    found: dict[int, None] = {}
    for index in draw.sample(range(dictionary.d_sae), dictionary.d_sae):
        if store.feature(dictionary, index).record.firings:
            found[index] = None
        if len(found) == n:
            break
    return list(found)


def top_windows(store: Store, dictionary: DictionaryView, index: int) -> list[WindowRecord]:
    """The windows of a feature's top group."""
    view = store.feature(dictionary, index)
    top = next(group for group in view.record.groups if group.kind == GroupKind.TOP)
    return [view.windows[number] for number in top.examples.windows.tolist()]


def fetch(http: httpx.Client, dictionary: DictionaryView, index: int) -> float:
    """Milliseconds for the top group of a feature with its underlines, as htmx asks for it."""
    address = f"/d/{dictionary.model}/{dictionary.name}/{index}/groups/top"
    began = time.perf_counter()
    answer = http.get(address, headers={"HX-Request": "true"})
    # Not yet: only while the worker starts.
    while answer.status_code in (httpx.codes.ACCEPTED, httpx.codes.SERVICE_UNAVAILABLE):
        time.sleep(0.5)
        answer = http.get(address, headers={"HX-Request": "true"})
    answer.raise_for_status()
    return 1000 * (time.perf_counter() - began)


def compare(
    dictionary_view: DictionaryView,
    features: dict[int, tuple[list[WindowRecord], dict[int, ContextEffect]]],
) -> tuple[float, int]:
    """Largest difference from brute force in nats, and how many positions were compared."""
    import torch

    from sae_core.dictionaries.checkpoint import load_dictionary, neuron_basis
    from sae_core.language_model.model import load_model

    model = load_model(Path(dictionary_view.model_path), dtype="float64")
    hook_point = model.hook_point(dictionary_view.hook_point)
    dictionary = (
        neuron_basis(dictionary_view.hook_point, hook_point.d_in)
        if dictionary_view.path is None
        else load_dictionary(Path(dictionary_view.path))
    ).double()
    special = torch.from_numpy(model.vocabulary.is_special)
    largest, positions = 0.0, 0
    for index, (windows, effects) in features.items():
        direction = dictionary.decoder_rows[index]
        for window in windows:
            tokens = torch.from_numpy(window.tokens)[None]
            acts = dictionary.encode_feature(model.capture(tokens, hook_point), index)
            acts = acts.masked_fill(special[tokens], 0.0)
            removed = acts[..., None] * direction
            clean = model.logits(tokens)
            with model.replaced(hook_point, lambda x, removed=removed: x - removed):
                ablated = model.logits(tokens)
            change = clean.log_softmax(-1) - ablated.log_softmax(-1)
            wanted = change[0, :-1].gather(-1, tokens[0, 1:, None])[:, 0]
            wanted = wanted.masked_fill(special[tokens[0, 1:]], 0.0).numpy()
            found = np.zeros(len(window.tokens))
            effect = effects[window.number]
            found[effect.positions] = effect.loss_change
            largest = max(largest, float(np.abs(found[1:] - wanted).max(initial=0.0)))
            positions += len(wanted)
    return largest, positions


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FeaturescopeError as error:
        sys.exit(str(error))
