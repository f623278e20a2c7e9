"""How good dictionaries are after the same tokens: this trainer, a dense step, SAELens.

    python -m benchmarks.training_quality activations     # writes x.npy once, for all of them
    python -m benchmarks.training_quality ours --seed 0 --out ours-0
    python -m benchmarks.training_quality dense --seed 0 --out dense-0
    SAELENS/bin/python benchmarks/saelens_training.py train --activations x.npy --out DIR
    python -m benchmarks.training_quality evaluate DIR ...

All read the same activations of the demo model from one file, in the same order, and are evaluated
on the same held-out text.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from app.jobs.demo.contents import HOOK_POINT
from app.settings import read_settings, resource
from sae_core.dictionaries.checkpoint import load_dictionary, save_dictionary
from sae_core.evaluation.evaluation import evaluate
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.text.corpus import standard_library
from sae_core.text.tokenized import Windows, tokenize
from sae_core.training import trainer
from sae_core.training.config import TrainingConfig
from sae_core.training.method import Method, Redirect, StepResult
from sae_core.training.methods import method_class

POOL = 1024  # windows that are shuffled together
N_CTX = 128


def demo() -> tuple[LanguageModel, Windows]:
    """The demo's model and text."""
    settings = read_settings()
    model = load_model(str(resource("demo") / "model"))
    corpus = tokenize(standard_library(), model.tokenizer, settings.home / "corpora")
    return model, Windows(corpus, N_CTX, model.vocabulary.bos)


@torch.inference_mode()
def write_activations(path: Path, tokens: int, seed: int) -> None:
    """`tokens` activations of training text in random order, float16 [tokens, d_in]."""
    model, windows = demo()
    hook_point = model.hook_point(HOOK_POINT)
    draw = np.random.default_rng(seed)
    allowed = windows.of_documents(held_out=False)
    out = open_memmap(path, mode="w+", dtype=np.float16, shape=(tokens, hook_point.d_in))
    done = 0
    while done < tokens:
        parts = []
        for batch in np.array_split(draw.choice(allowed, POOL, replace=False), POOL // 64):
            ids, mask = windows.gather(batch)
            x = model.capture(torch.from_numpy(ids), hook_point)
            parts.append(x.flatten(0, 1)[torch.from_numpy(mask.ravel())].numpy())
        pool = np.concatenate(parts)
        pool = pool[draw.permutation(len(pool))][: tokens - done]
        out[done : done + len(pool)] = pool
        done += len(pool)
    out.flush()


class FileStream:
    """The file's activations as a training's batches; from the front again at its end."""

    written = None

    def __init__(self, path: Path, batch: int) -> None:
        self._x, self._batch = np.load(path, mmap_mode="r"), batch
        self.d_in, self.device = int(self._x.shape[1]), torch.device("cpu")
        self.identity = f"{path.resolve()} {self._x.shape} {batch}"
        sample = torch.from_numpy(np.asarray(self._x[: 1 << 16], dtype=np.float64))
        self.mean = sample.mean(dim=0).float()
        self.mean_square_norm = float(sample.pow(2).sum(dim=1).mean())
        self.mean_square_deviation = float((sample - sample.mean(dim=0)).pow(2).sum(dim=1).mean())

    def batch(self, number: int) -> torch.Tensor:
        begin = number % (len(self._x) // self._batch) * self._batch
        return torch.from_numpy(self._x[begin : begin + self._batch].astype(np.float32))


def densely(kind: type[Method], autocast: bool) -> type[Method]:
    """The same method, each step by autograd through its dense loss."""

    class Densely(kind):  # type: ignore[misc, valid-type]
        architecture = kind.architecture

        def step(
            self,
            x: torch.Tensor,
            weight: float,
            redirect: Redirect | None = None,  # noqa: ARG002
        ) -> StepResult:
            with torch.enable_grad():
                for parameter in self.parameters.values():
                    parameter.requires_grad_()
                with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                    loss = self.loss(x, weight)
                names = list(self.parameters)
                found = torch.autograd.grad(loss, [self.parameters[name] for name in names])
            for parameter in self.parameters.values():
                parameter.requires_grad_(False)
            none = torch.zeros(())
            # Features seen dead would need the activations once more; nothing dies in these runs.
            fired = torch.ones(self.d_sae, dtype=torch.bool)
            return StepResult(
                dict(zip(names, found, strict=True)), loss.detach(), none, none, fired
            )

    return Densely


def train_ours(options: argparse.Namespace) -> None:
    """Train on the file, sparsely or densely, and save."""
    config = TrainingConfig(
        options.architecture, options.features, options.k, tokens=options.tokens, seed=options.seed
    )
    if options.mode == "dense":
        kind = densely(method_class(options.architecture), options.autocast)
        trainer.method_class = lambda _: kind
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        done = trainer.train(
            FileStream(options.file, config.batch), config, HOOK_POINT, Path(folder) / "checkpoint"
        )
    save_dictionary(done.dictionary, options.out)
    rate = config.tokens / (time.perf_counter() - begin)
    print(json.dumps({"out": str(options.out), "tokens_per_second": round(rate)}), flush=True)


def compare(options: argparse.Namespace) -> None:
    """All held-out text, each folder."""
    model, windows = demo()
    numbers = windows.of_documents(held_out=True)
    print("| dictionary | L0 | FVU | extra loss (nats) | extra-loss fraction | dead |")
    print("|---|---:|---:|---:|---:|---:|")
    for folder in options.folders:
        found = evaluate(model, load_dictionary(folder), windows, numbers)
        print(
            f"| {folder.name} | {found.l0:.2f} | {found.fvu:.4f} "
            f"| {found.l_recon - found.l_clean:.4f} | {found.extra_loss_fraction:.2%} "
            f"| {found.dead_share:.2%} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    write = modes.add_parser("activations")
    write.add_argument("--tokens", type=int, default=5_000_000)
    write.add_argument("--seed", type=int, default=0)
    write.add_argument("--file", type=Path, default=Path("x.npy"))
    for name in ("ours", "dense"):
        mode = modes.add_parser(name)
        mode.add_argument("--architecture", default="topk")
        mode.add_argument("--features", type=int, default=4096)
        mode.add_argument("--k", type=float, default=32)
        mode.add_argument("--tokens", type=int, default=5_000_000)
        mode.add_argument("--seed", type=int, default=0)
        mode.add_argument("--autocast", action="store_true")
        mode.add_argument("--file", type=Path, default=Path("x.npy"))
        mode.add_argument("--out", type=Path, required=True)
    judged = modes.add_parser("evaluate")
    judged.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args()
    os.environ.setdefault("FEATURESCOPE_HOME", str(Path(__file__).parents[1] / ".featurescope"))
    match options.mode:
        case "activations":
            write_activations(options.file, options.tokens, options.seed)
        case "evaluate":
            compare(options)
        case _:
            train_ours(options)


if __name__ == "__main__":
    sys.exit(main())
