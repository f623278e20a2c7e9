"""Training transcoders of the demo's MLP beside our own sparse autoencoders of it:
`python -m benchmarks.transcoder_training [--repeats 5 --steps 20 --tokens 1M]`, some minutes.

First the steps alone, taking turns on the same tokens, each beside a dense step of its own. Then
whole trainings on the same text: the pace with the model's forward passes, and how good they are.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.cli.options import tokens
from app.jobs.harvested.evaluate import EVALUATION_TOKENS
from app.jobs.source import evaluation_windows, open_windows
from app.settings import read_settings, resource
from benchmarks.training import BATCH, D_SAE, Dense, Sparse, rate
from sae_core.dictionaries.dictionary import Output
from sae_core.evaluation.evaluation import evaluate
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import STDLIB
from sae_core.text.tokenized import Windows
from sae_core.training.config import TrainingConfig
from sae_core.training.data.ends import output_at
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.trainer import train

L0 = 24
READ, NEURONS, WRITE = "blocks.0.mlp.hook_in", "blocks.0.mlp.hook_post", "blocks.0.hook_mlp_out"
RATIO_AT_LEAST = 0.8


@dataclass(frozen=True)
class Contestant:
    """A dictionary of the demo's MLP, and the rows it is trained on."""

    name: str
    hook_point: str
    output: Output | None
    stream: PoolStream

    def batches(self) -> list[Tensor]:
        """Four batches, each end at about unit variance a coordinate."""
        rows = [self.stream.batch(number) for number in range(4)]
        widths = [self.stream.d_in] + ([] if self.output is None else [self.output.d_out])
        scales = [
            part.pow(2).mean().rsqrt().expand(part.shape[1]) for part in rows[0].split(widths, 1)
        ]
        return [batch * torch.cat(scales) for batch in rows]


def contestants(model: LanguageModel, windows: Windows) -> list[Contestant]:
    """Two autoencoders, and the transcoder without and with a skip connection."""
    made = []
    for name, hook_point, written, skip in (
        (f"SAE at {WRITE}", WRITE, None, False),
        (f"SAE at {NEURONS}", NEURONS, None, False),
        ("transcoder", READ, WRITE, False),
        ("skip transcoder", READ, WRITE, True),
    ):
        output = output_at(model, hook_point, written, skip)
        stream = PoolStream(TextPools(model, hook_point, windows, output_hook_point=written), BATCH)
        made.append(Contestant(name, hook_point, output, stream))
    return made


def steps(whom: list[Contestant], repeats: int, n_steps: int) -> bool:
    """Print tokens/s of the steps alone; whether the transcoders keep up."""
    runs: dict[str, Callable[[], object]] = {}
    for who in whom:
        batches = who.batches()
        runs[who.name] = ours = Sparse("topk", batches, 5, L0, who.output)
        runs[f"{who.name}, dense step"] = Dense("topk", batches, False, L0, who.output)
        for _ in range(5):
            ours()
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, step in runs.items():
            rates[name].append(rate(step, n_steps if "dense" not in name else max(2, n_steps // 5)))
    own, kept = rates[whom[0].name], True
    print(
        f"steps alone, TopK, {D_SAE} features, L0 {L0}, batch {BATCH}, {repeats} repeats in turn:"
    )
    for name, measured in rates.items():
        ratio = statistics.median(b / a for a, b in zip(own, measured, strict=True))
        print(
            f"  {name}: {statistics.median(measured):,.0f} tokens/s ({min(measured):,.0f} to "
            f"{max(measured):,.0f}), {ratio:.2f} of the {whom[0].name}"
        )
        kept &= ratio >= RATIO_AT_LEAST or "transcoder" not in name or "dense" in name
    return kept


def trainings(whom: list[Contestant], model: LanguageModel, windows: Windows, n: int) -> None:
    """Print the pace of whole trainings, and what came of them."""
    numbers = evaluation_windows(windows, EVALUATION_TOKENS, 0)
    config = TrainingConfig("topk", D_SAE, L0, tokens=n, batch=BATCH)
    print(f"whole trainings of {n:,} tokens, and figures on held-out text:")
    for who in whom:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "training.ckpt"
            trained = train(who.stream, config, who.hook_point, path, output=who.output)
        figures = evaluate(model, trained.dictionary, windows, numbers)
        seconds = sum(
            (point.tokens - before) / point.tokens_per_second
            for before, point in zip(
                [0, *(point.tokens for point in trained.curve)], trained.curve, strict=False
            )
        )
        print(
            f"  {who.name}: {trained.curve[-1].tokens / seconds:,.0f} tokens/s, FVU "
            f"{figures.fvu:.4f}, {figures.l_recon - figures.l_clean:.4f} nats over clean "
            f"({figures.l_clean:.4f}), {trained.curve[-1].dead_share:.1%} dead",
            flush=True,
        )


def main(names: list[str] | None = None) -> int:
    """Measure and print; 1 where the transcoders are too slow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--tokens", type=tokens, default=1_000_000)
    options = parser.parse_args(names or [])
    settings = read_settings()
    if settings.worker_threads is not None:
        torch.set_num_threads(settings.worker_threads)
    print(
        f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, {platform.machine()}, "
        f"torch {torch.__version__}"
    )
    model = load_model(str(resource("demo") / "model"))
    windows = open_windows(settings, model, STDLIB, None)
    whom = contestants(model, windows)
    kept = steps(whom, options.repeats, options.steps)
    trainings(whom, model, windows, options.tokens)
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
