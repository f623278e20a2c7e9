"""Exact responsibility for one prediction: `python -m benchmarks attribution`, some minutes.

For prompts of 100 tokens: the time from their tokens to the exact change of the last prediction for
every active feature, each ablated alone, and the ratio to the naive loop in the same process: one
whole forward pass of the prompt for each feature, its edit made by a hook, its logits taken at the
last position only. Both sides are given the features' activations. The answers of both sides are
compared, and so is the reading of each prompt with an independent forward pass and encode.

The first round is the demo; the second, where that model lies beside the repository, stories260K
with a dictionary of 1,024 features at its middle layer, which is trained on the way.
"""

from __future__ import annotations

import os
import platform
import random
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.jobs.demo.contents import FEATURES
from app.settings import Settings, read_settings, resource
from sae_core.dictionaries.checkpoint import load_dictionary, save_dictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.interventions.attribution import predict
from sae_core.interventions.prompt import prompt_firings, prompt_tokens, read_prompt, text_positions
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.language_model.predictions import target_log_probability
from sae_core.text.corpus import text_files
from sae_core.text.tokenized import Windows, tokenize
from sae_core.training.config import TrainingConfig
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.trainer import train

SHARED = Path(__file__).parents[2] / "shared"
STORIES = SHARED / "models" / "stories260K"
STORIES_TEXT = SHARED / "corpora" / "tinystories_1000.txt"
MIDDLE = "blocks.2.hook_resid_post"
N_TOKENS = 100
N_PROMPTS = 8
SEED = 0
RATIO_AT_LEAST = 5.0
NATS_AT_MOST = 1e-4
READING_AT_MOST = 1e-5


@dataclass(frozen=True)
class Prompt:
    """What was measured on one prompt.

    Attributes:
        n_features: active on it.
        n_reaching: those whose firings can reach the prediction.
        read_ms: for tokens, predictions and all firings.
        estimates_ms: until the estimates of all features were there.
        exact_ms: until the last exact change was there.
        longest_step_ms: of the exact part.
        naive_ms: for the naive loop over all features.
        difference: between both sides, largest, nats.
        reading_difference: of activations from an independent forward and encode, largest.
    """

    n_features: int
    n_reaching: int
    read_ms: float
    estimates_ms: float
    exact_ms: float
    longest_step_ms: float
    naive_ms: float
    difference: float
    reading_difference: float

    @property
    def ratio(self) -> float:
        """How many times as long the naive loop took."""
        return self.naive_ms / self.exact_ms


def main() -> int:
    """Measure and print; 1 where a promise was not kept."""
    settings = read_settings()
    if settings.worker_threads is not None:
        torch.set_num_threads(settings.worker_threads)
    demo = resource("demo")
    prompts = measure(load_model(demo / "model"), load_dictionary(demo / FEATURES), code())
    missed = report(f"demo/{FEATURES}", prompts)
    if not STORIES.is_dir():
        print(
            f"attribution, stories260K: not measured, {STORIES.name} is not beside the repository"
        )
        return missed
    stories = load_model(STORIES)
    dictionary = middle_dictionary(stories, settings)
    texts = iter(STORIES_TEXT.read_text(encoding="utf-8").split("<|endoftext|>"))
    return missed | report(f"stories260K/{MIDDLE}", measure(stories, dictionary, texts))


def code() -> Iterator[str]:
    """Pieces of the standard library, from the middle of files drawn with a fixed seed."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    random.Random(SEED).shuffle(paths)
    for path in paths:
        text = path.read_text(encoding="utf-8", errors="replace")
        yield text[len(text) // 2 :]


def measure(model: LanguageModel, dictionary: Dictionary, texts: Iterator[str]) -> list[Prompt]:
    """The first prompts that are long enough; one before them is not counted."""
    prompts: list[Prompt] = []
    while len(prompts) <= N_PROMPTS:
        tokens = model.tokenizer.encode(next(texts), add_special_tokens=False).ids[: N_TOKENS + 1]
        if len(tokens) > N_TOKENS:
            prompts.append(one_prompt(model, dictionary, prompt_tokens(model, tokens)))
    return prompts[1:]


def one_prompt(model: LanguageModel, dictionary: Dictionary, tokens: Tensor) -> Prompt:
    """Both sides, on the prediction of the last token from all others."""
    last = len(tokens) - 1
    before = tokens[:last]
    point = model.hook_point(dictionary.hook_point)
    times = [time.perf_counter()]
    reading = read_prompt(model, before, [point])
    firings = prompt_firings(model, dictionary, before, reading.activations[point])
    times.append(time.perf_counter())
    prediction = predict(model, dictionary, tokens, last)
    estimates = prediction.estimates()
    times.append(time.perf_counter())
    steps, found = [times[-1]], dict[int, float]()
    for effects in prediction.effects(estimates):
        found.update(zip(effects.features.tolist(), effects.loss_change.tolist(), strict=True))
        steps.append(time.perf_counter())
    x = model.capture(before[None], point)[0]
    acts = torch.zeros(last, dictionary.d_sae)
    text = text_positions(model, before)
    with torch.no_grad():
        acts[text] = dictionary.encode(x[text])
    rebuilt = torch.zeros_like(acts)
    rebuilt[firings.rows, firings.features] = firings.values
    began = time.perf_counter()
    naive = naive_loop(model, dictionary, before, int(tokens[last]), x, acts, list(found))
    naive_seconds = time.perf_counter() - began
    return Prompt(
        n_features=len(found),
        n_reaching=int((prediction.firings.counts > 0).sum()),
        read_ms=1000 * (times[1] - times[0]),
        estimates_ms=1000 * (times[2] - times[1]),
        exact_ms=1000 * (steps[-1] - times[1]),
        longest_step_ms=1000 * float(np.diff(steps).max()),
        naive_ms=1000 * naive_seconds,
        difference=float(np.abs(naive - np.array(list(found.values()))).max()),
        reading_difference=float((rebuilt - acts).abs().max()),
    )


@torch.no_grad()
def naive_loop(
    model: LanguageModel,
    dictionary: Dictionary,
    tokens: Tensor,
    target: int,
    x: Tensor,
    acts: Tensor,
    features: list[int],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """One whole forward pass for each feature."""
    point = model.hook_point(dictionary.hook_point)
    rows = dictionary.decoder_rows

    def log_p() -> float:
        hidden = model.final_hidden(tokens[None])[0, -1:]
        return float(target_log_probability(model, hidden, target))

    clean, changes = log_p(), []
    for feature in features:
        ablated = (x - acts[:, feature, None] * rows[feature])[None]
        with model.replaced(point, lambda _, ablated=ablated: ablated):  # type: ignore[misc]
            changes.append(clean - log_p())
    return np.array(changes)


def report(title: str, prompts: list[Prompt]) -> int:
    """Print the lines for the README; 1 where a promise was not kept."""

    def spread(name: str) -> str:
        values = [getattr(prompt, name) for prompt in prompts]
        return f"{np.median(values):.0f} ms (longest {max(values):.0f})"

    features = sum(prompt.n_features for prompt in prompts) / len(prompts)
    reaching = sum(prompt.n_reaching for prompt in prompts) / len(prompts)
    ratios = [prompt.ratio for prompt in prompts]
    naive = sum(p.naive_ms for p in prompts) / sum(p.n_features for p in prompts)
    exact = sum(p.exact_ms for p in prompts)
    knowing = naive * sum(p.n_reaching for p in prompts) / exact
    difference = max(prompt.difference for prompt in prompts)
    read = max(prompt.reading_difference for prompt in prompts)
    print(
        f"attribution, {title}, {len(prompts)} prompts of {N_TOKENS} tokens, {features:.0f} active "
        f"features each, of which {reaching:.0f} can reach the prediction; "
        f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, {platform.machine()}\n"
        f"  read, in process: {spread('read_ms')}, activations within {read:.1e} of an independent "
        f"forward and encode (at most {READING_AT_MOST:.0e})\n"
        f"  estimates of all features: {spread('estimates_ms')}\n"
        f"  exact changes of all: {spread('exact_ms')}, longest step "
        f"{max(prompt.longest_step_ms for prompt in prompts):.0f} ms\n"
        f"  naive loop, {naive:.1f} ms a feature: {spread('naive_ms')}\n"
        f"  ratio: median {np.median(ratios):.1f}, least {min(ratios):.1f} (at least "
        f"{RATIO_AT_LEAST:.0f}); {knowing:.1f} to a naive loop over those that reach alone\n"
        f"  largest difference between both: {difference:.1e} nats (at most {NATS_AT_MOST:.0e})"
    )
    kept = np.median(ratios) >= RATIO_AT_LEAST and difference <= NATS_AT_MOST
    return 0 if kept and read <= READING_AT_MOST else 1


def middle_dictionary(model: LanguageModel, settings: Settings) -> Dictionary:
    """64 -> 1,024 TopK at the third of five layers; trained once, a minute or two."""
    work = settings.home / "benchmarks" / "stories260K"
    folder = work / MIDDLE
    if not folder.is_dir():
        work.mkdir(parents=True, exist_ok=True)
        corpus = tokenize(text_files(STORIES_TEXT), model.tokenizer, settings.home / "corpora")
        windows = Windows(corpus, 128, model.vocabulary.bos)
        config = TrainingConfig(d_sae=1024, l0=16, batch=1024, tokens=614_400)
        stream = PoolStream(TextPools(model, MIDDLE, windows, pool_tokens=65_536), config.batch)
        trained = train(stream, config, MIDDLE, work / "topk-training.ckpt")
        folder.mkdir()
        save_dictionary(trained.dictionary, folder)
    return load_dictionary(folder)
