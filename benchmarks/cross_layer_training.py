"""Training a cross-layer transcoder of the deeper demo beside our own other dictionaries of it:
`python -m benchmarks.cross_layer_training [--repeats 5 --steps 10 --tokens 1M]`, some minutes.

First the steps alone, taking turns on the same tokens: the cross-layer transcoder (CLT) of three
blocks, its own dense step (autograd, the same Adam), one transcoder of each block after the other,
and a sparse autoencoder of one hook point with as many features and as many active ones. A CLT's
decoder rows are (blocks + 1) / 2 times as wide as theirs, which is the least it costs more. Then
whole trainings on the same text, and what the model loses with all of its MLPs replaced.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from app.cli.options import tokens
from app.jobs.harvested.evaluate import EVALUATION_TOKENS
from app.jobs.source import evaluation_windows, open_windows
from app.settings import read_settings, resource
from benchmarks.training import BATCH, D_SAE, Dense, Sparse, rate
from sae_core.circuits.replacement import evaluate_together
from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Output
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import STDLIB
from sae_core.text.tokenized import Windows
from sae_core.training.config import TrainingConfig
from sae_core.training.data.ends import output_at
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.trainer import Trained, train

L0 = 24
READ, WRITE = "blocks.{}.mlp.hook_in", "blocks.{}.hook_mlp_out"
CLT, DENSE, EACH = "CLT", "CLT, dense step", "a transcoder of each block"


def stream_of(
    model: LanguageModel, windows: Windows, block: int | str
) -> tuple[PoolStream, Output]:
    """Batches of one block, or of all with `*`, and what is reconstructed there."""
    read, write = READ.format(block), WRITE.format(block)
    output = output_at(model, read, write)
    assert output is not None
    return PoolStream(TextPools(model, read, windows, output_hook_point=write), BATCH), output


def scaled(stream: PoolStream, output: Output) -> list[Tensor]:
    """Four batches, what is read and what is written at about unit variance a coordinate."""
    rows = [stream.batch(number) for number in range(4)]
    parts = torch.split(rows[0], [stream.d_in, output.d_out], dim=1)
    scales = [part.pow(2).mean().rsqrt().expand(part.shape[1]) for part in parts]
    return [batch * torch.cat(scales) for batch in rows]


def steps(model: LanguageModel, windows: Windows, repeats: int, n_steps: int) -> None:
    """Print tokens/s of the steps alone."""
    layers = model.n_layers
    stream, output = stream_of(model, windows, "*")
    together = scaled(stream, output)
    singles = []
    for block in range(layers):
        own, written = stream_of(model, windows, block)
        singles.append(Sparse("batchtopk", scaled(own, written), 5, L0, written))
    autoencoder = f"SAE of one hook point, {layers * D_SAE:,} features, L0 {layers * L0}"
    width = model.hook_point(WRITE.format(0)).d_in
    alone = [batch[:, stream.d_in : stream.d_in + width].contiguous() for batch in together]
    runs: dict[str, Callable[[], object]] = {
        autoencoder: Sparse("batchtopk", alone, 5, layers * L0, d_sae=layers * D_SAE),
        EACH: lambda: [step() for step in singles],
        CLT: Sparse("batchtopk", together, 5, L0, output),
        DENSE: Dense("batchtopk", together, False, L0, output),
    }
    for step in list(runs.values())[:-1]:
        for _ in range(5):
            step()
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, step in runs.items():
            rates[name].append(rate(step, n_steps if name != DENSE else max(2, n_steps // 5)))
    print(
        f"steps alone, BatchTopK, {layers} blocks of {D_SAE:,} features, L0 {L0} in each, batch "
        f"{BATCH}, {repeats} repeats in turn:"
    )
    for name, measured in rates.items():
        ratios = [b / a for a, b in zip(rates[autoencoder], measured, strict=True)]
        print(
            f"  {name}: {statistics.median(measured):,.0f} tokens/s ({min(measured):,.0f} to "
            f"{max(measured):,.0f}), {statistics.median(ratios):.2f} of the SAE"
        )


def trainings(model: LanguageModel, windows: Windows, n: int) -> None:
    """Print the pace of whole trainings, and what came of them."""
    numbers = evaluation_windows(windows, EVALUATION_TOKENS, 0)
    config = TrainingConfig("batchtopk", D_SAE, L0, tokens=n, batch=BATCH)
    print(f"whole trainings of {n:,} tokens, and figures on held-out text with all MLPs replaced:")
    made = []
    for block in (*range(model.n_layers), "*"):
        stream, output = stream_of(model, windows, block)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "training.ckpt"
            trained = train(stream, config, READ.format(block), path, output=output)
        made.append(trained)
        print(f"  blocks.{block}: {pace(trained):,.0f} tokens/s", flush=True)
    clt = made[-1].dictionary
    assert isinstance(clt, CrossLayerTranscoder)
    for name, whole in (
        (EACH, evaluate_together(model, [t.dictionary for t in made[:-1]], windows, numbers)),
        (CLT, evaluate_together(model, clt, windows, numbers)),
    ):
        figures = whole.evaluation
        lost = figures.figures()["extra_loss_fraction"]
        print(
            f"  {name}: L0 {figures.l0:.1f}, FVU {figures.fvu:.4f} (by block "
            f"{', '.join(f'{fvu:.4f}' for fvu in whole.fvu)}), "
            f"{figures.l_recon - figures.l_clean:.4f} nats over clean ({figures.l_clean:.4f}), "
            f"extra loss {lost:.2%}, dead {figures.dead_share:.1%}",
            flush=True,
        )


def pace(trained: Trained) -> float:
    """Tokens/s of a whole training."""
    seconds, before = 0.0, 0
    for point in trained.curve:
        seconds += (point.tokens - before) / point.tokens_per_second
        before = point.tokens
    return before / seconds


def main(names: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--tokens", type=tokens, default=1_000_000)
    options = parser.parse_args(names or [])
    settings = read_settings()
    if settings.worker_threads is not None:
        torch.set_num_threads(settings.worker_threads)
    print(
        f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, {platform.machine()}, "
        f"torch {torch.__version__}"
    )
    model = load_model(str(resource("demo") / "deep" / "model"))
    windows = open_windows(settings, model, STDLIB, None)
    steps(model, windows, options.repeats, options.steps)
    trainings(model, windows, options.tokens)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
