"""SAELens' own trainer, for comparison. Runs in an environment of its own:

    python -m venv saelens && saelens/bin/pip install 'torch==2.13.*' 'sae-lens==6.54.*'
    saelens/bin/python benchmarks/saelens_training.py speed
    saelens/bin/python benchmarks/saelens_training.py train --activations x.npy --out DIR

SAELens pins transformer_lens below 4, so this file imports nothing of Featurescope. Each line that
it prints is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sae_lens import __version__
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import SAEMetadata
from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.training.sae_trainer import SAETrainer

KINDS = {
    "topk": (TopKTrainingSAE, TopKTrainingSAEConfig),
    "batchtopk": (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig),
    "standard": (StandardTrainingSAE, StandardTrainingSAEConfig),
}


def trainer(
    options: argparse.Namespace, batches: Iterator[torch.Tensor], d_in: int, autocast: bool
) -> SAETrainer[Any, Any]:
    """SAELens' trainer with the schedule of ours, everything else as it comes."""
    build, configure = KINDS[options.architecture]
    own = {"l1_coefficient": options.l1} if options.architecture == "standard" else {"k": options.k}
    torch.manual_seed(options.seed)
    sae = build(
        configure(
            d_in=d_in,
            d_sae=options.features,
            apply_b_dec_to_input=True,
            normalize_activations="expected_average_only_in",
            metadata=SAEMetadata(hook_name=options.hook_point),
            **own,
        )
    )
    steps = options.tokens // options.batch
    return SAETrainer(
        SAETrainerConfig(
            total_training_samples=steps * options.batch,
            train_batch_size_samples=options.batch,
            lr=options.learning_rate,
            lr_end=0.0,
            lr_warm_up_steps=int(options.warmup * steps),
            lr_decay_steps=int(options.decay * steps),
            autocast=autocast,
            dead_feature_window=max(1, options.dead_after // options.batch),
            n_batches_for_norm_estimate=20,
        ),
        sae,
        batches,
    )


def synthetic(d_in: int, batch: int, seed: int) -> Iterator[torch.Tensor]:
    """The same few batches of ReLU activations again and again: `benchmarks.training`'s."""
    draw = torch.Generator().manual_seed(seed)
    pool = [torch.relu(torch.randn(batch, d_in, generator=draw)) for _ in range(4)]
    while True:
        yield from pool


def stored(path: Path, batch: int) -> Iterator[torch.Tensor]:
    """Batches of a file of activations, in order, again and again."""
    x = np.load(path, mmap_mode="r")
    while True:
        for begin in range(0, len(x) - batch + 1, batch):
            yield torch.from_numpy(np.asarray(x[begin : begin + batch], dtype=np.float32))


def speed(options: argparse.Namespace) -> None:
    """Tokens/s of SAELens' training step, in float32 and in bfloat16 autocast."""
    for architecture in options.architectures.split(","):
        options.architecture = architecture
        for autocast in (False, True):
            run = trainer(options, synthetic(512, options.batch, 0), 512, autocast)
            run.activation_scaler.scaling_factor = 1.0
            rates = []
            for repeat in range(options.repeats + 1):
                begin = time.perf_counter()
                for _ in range(options.steps):
                    run.step(next(run.data_provider))
                    run.n_training_steps += 1
                seconds = time.perf_counter() - begin
                if repeat:  # the first warms up
                    rates.append(options.steps * options.batch / seconds)
            line = {
                "trainer": f"SAELens {__version__}",
                "architecture": architecture,
                "precision": "bfloat16 autocast" if autocast else "float32",
                "threads": torch.get_num_threads(),
                "tokens_per_second": sorted(rates)[len(rates) // 2],
                "all": [round(rate) for rate in rates],
            }
            print(json.dumps(line), flush=True)


def train(options: argparse.Namespace) -> None:
    """Train on a file of activations and save for inference in SAELens' format."""
    width = np.load(options.activations, mmap_mode="r").shape[1]
    run = trainer(options, stored(options.activations, options.batch), width, options.autocast)
    begin = time.perf_counter()
    sae = run.fit()
    seconds = time.perf_counter() - begin
    sae.save_inference_model(str(options.out))
    line = {
        "trainer": f"SAELens {__version__}",
        "architecture": options.architecture,
        "seed": options.seed,
        "tokens": run.n_training_samples,
        "tokens_per_second": run.n_training_samples / seconds,
        "out": str(options.out),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    modes = parser.add_subparsers(required=True)
    for name, run in (("speed", speed), ("train", train)):
        mode = modes.add_parser(name)
        mode.set_defaults(run=run)
        mode.add_argument("--features", type=int, default=4096)
        mode.add_argument("--k", type=int, default=32)
        mode.add_argument("--l1", type=float, default=1.0)
        mode.add_argument("--batch", type=int, default=2048)
        mode.add_argument("--learning-rate", type=float, default=1e-3)
        mode.add_argument("--warmup", type=float, default=0.02, help="share of the steps")
        mode.add_argument("--decay", type=float, default=0.2, help="share of the steps")
        mode.add_argument("--dead-after", type=int, default=500_000, help="tokens")
        mode.add_argument("--tokens", type=int, default=5_000_000)
        mode.add_argument("--seed", type=int, default=0)
        mode.add_argument("--hook-point", default="blocks.0.mlp.hook_post")
        if run is speed:
            mode.add_argument("--architectures", default="topk,batchtopk,standard")
            mode.add_argument("--steps", type=int, default=10)
            mode.add_argument("--repeats", type=int, default=3)
        else:
            mode.add_argument("--activations", type=Path, required=True)
            mode.add_argument("--architecture", choices=sorted(KINDS), default="topk")
            mode.add_argument("--autocast", action="store_true")
            mode.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    sys.exit(main())
