"""Tokens/s of training at 512 -> 4096, L0 32, batch 2048: `python -m benchmarks training`.

Three contestants take turns, several times over, on the same activations: this trainer; a dense
PyTorch step (the same loss through autograd, the same fused Adam) in float32 and in bfloat16
autocast; and SAELens, where an interpreter of an environment that has it is named:

    python -m benchmarks.training --saelens saelens/bin/python

(`benchmarks/saelens_training.py` says how to make one). Making activations is left out everywhere.
SAELens computes in float32 unless told otherwise; that is the ratio of the promise, and autocast is
shown beside it. Before a method with a penalty is measured it is trained for a while, so that the
penalty has brought its L0 down, on which the speed of a sparse step depends. The floor is the one
dense product that a step needs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from app.settings import read_settings
from sae_core.dictionaries.dictionary import Output
from sae_core.training.config import TrainingConfig
from sae_core.training.method import Method
from sae_core.training.methods import method_class
from sae_core.training.optimizer import Adam

D_IN, D_SAE, L0, BATCH = 512, 4096, 32, 2048
ARCHITECTURES = ("topk", "batchtopk", "standard", "matryoshka", "jumprelu", "gated")
COMPARED = ("topk", "batchtopk", "standard")
RATIO_AT_LEAST = 10.0
SETTLE = 400


def activations() -> list[Tensor]:
    """The same few batches again and again, [BATCH, D_IN] each; SAELens is given the same."""
    draw = torch.Generator().manual_seed(0)
    return [torch.relu(torch.randn(BATCH, D_IN, generator=draw)) for _ in range(4)]


class Sparse:
    """This trainer's step."""

    def __init__(
        self,
        architecture: str,
        batches: list[Tensor],
        settle: int,
        l0: int = L0,
        output: Output | None = None,
        d_sae: int = D_SAE,
    ) -> None:
        config = TrainingConfig(architecture, d_sae, l0, tokens=2 * settle * BATCH, batch=BATCH)
        d_in = batches[0].shape[1] - (0 if output is None else output.d_out)
        self.method: Method = method_class(architecture, output)(config, d_in, output=output)
        self.method.start(torch.cat(batches).mean(dim=0))
        self.method.align(batches[0])
        self.method.calibrate(batches[0])
        self.adam = Adam(self.method.parameters)
        self.batches, self.number, self.l0 = batches, 0, 0.0

    @torch.no_grad()
    def __call__(self) -> None:
        x, method = self.batches[self.number % len(self.batches)], self.method
        result = method.step(x, method.weight_at(self.number))
        method.constrain_gradients(result.gradients)
        self.adam.step(result.gradients, 1e-4)
        method.constrain()
        method.after_step(self.number, x, result, self.adam)
        self.number, self.l0 = self.number + 1, float(result.l0)


class Dense(Sparse):
    """The same loss through autograd."""

    def __init__(
        self,
        architecture: str,
        batches: list[Tensor],
        autocast: bool,
        l0: int = L0,
        output: Output | None = None,
    ) -> None:
        super().__init__(architecture, batches, SETTLE, l0, output)
        self.autocast = autocast

    def __call__(self) -> None:
        x, method = self.batches[self.number % len(self.batches)], self.method
        for parameter in method.parameters.values():
            parameter.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            loss = method.loss(x, method.weight_at(self.number))
        names = list(method.parameters)
        found = torch.autograd.grad(loss, [method.parameters[name] for name in names])
        for parameter in method.parameters.values():
            parameter.requires_grad_(False)
        gradients = dict(zip(names, found, strict=True))
        method.constrain_gradients(gradients)
        self.adam.step(gradients, 1e-4)
        method.constrain()
        self.number += 1


def rate(step: Callable[[], object], steps: int) -> float:
    """Tokens/s over some steps, one before them not counted."""
    step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return steps * BATCH / (time.perf_counter() - begin)


def saelens_rates(python: Path, architecture: str, steps: int) -> dict[str, float]:
    """SAELens' tokens/s by precision, in a process of its own."""
    script = Path(__file__).with_name("saelens_training.py")
    options = ["--architectures", architecture, "--steps", str(steps), "--repeats", "1"]
    options += ["--batch", str(BATCH), "--features", str(D_SAE), "--k", str(L0)]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [str(python), str(script), "speed", *options],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {f"SAELens, {line['precision']}": line["tokens_per_second"] for line in lines}


def floor(batch: Tensor) -> Callable[[], Tensor]:
    """The dense product alone, in bfloat16."""
    low = torch.bfloat16
    x, rows, bias = batch.to(low), torch.randn(D_SAE, D_IN).to(low), torch.zeros(D_SAE, dtype=low)
    return lambda: functional.linear(x, rows, bias)


def measure(
    architecture: str, repeats: int, steps: int, saelens: Path | None
) -> tuple[dict[str, list[float]], float]:
    """Tokens/s of every contestant, one number a repeat, and the L0 of this trainer."""
    batches = activations()
    ours = Sparse(architecture, batches, SETTLE)
    for _ in range(SETTLE if architecture not in ("topk", "batchtopk", "matryoshka") else 5):
        ours()
    contestants: dict[str, Callable[[], object]] = {
        "this trainer": ours,
        "dense step, float32": Dense(architecture, batches, False),
        "dense step, bfloat16 autocast": Dense(architecture, batches, True),
        "the one dense product alone": floor(batches[0]),
    }
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, step in contestants.items():
            count = steps if name.startswith("th") else max(2, steps // 5)
            rates[name].append(rate(step, count))
        if saelens is not None and architecture in COMPARED:
            for name, found in saelens_rates(saelens, architecture, max(2, steps // 5)).items():
                rates.setdefault(name, []).append(found)
    return rates, ours.l0


def report(architecture: str, rates: dict[str, list[float]], l0: float) -> float | None:
    """Print one architecture's lines; the ratio to SAELens as it comes, where it was measured."""
    ours, promised = rates["this trainer"], None
    print(f"training, {architecture}, L0 {l0:.0f}:")
    for name, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(ours, found, strict=True))
        said = "" if name == "this trainer" else f"; this trainer: {ratio:.2f} times that"
        print(
            f"  {name}: {statistics.median(found):,.0f} tokens/s "
            f"({min(found):,.0f} to {max(found):,.0f}){said}"
        )
        if name == "SAELens, float32":
            promised = ratio
    return promised


def main(names: list[str] | None = None) -> int:
    """Measure and print; 1 where a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", default=",".join(ARCHITECTURES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--saelens", type=Path, help="an interpreter that has SAELens")
    options = parser.parse_args(names or [])
    settings = read_settings()
    if settings.worker_threads is not None:
        torch.set_num_threads(settings.worker_threads)
    print(
        f"training, {D_IN} -> {D_SAE}, batch {BATCH}, {options.repeats} repeats taking turns; "
        f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, {platform.machine()}, "
        f"torch {torch.__version__}"
    )
    missed = 0
    for architecture in options.architectures.split(","):
        rates, l0 = measure(architecture, options.repeats, options.steps, options.saelens)
        ratio = report(architecture, rates, l0)
        missed |= ratio is not None and architecture == "topk" and ratio < RATIO_AT_LEAST
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
