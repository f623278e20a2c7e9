"""Experiments: how often intervals hold the truth, false alarms, and kills.

python -m benchmarks.experiments --coverage     a simulation, about 20 minutes
python -m benchmarks.experiments --kills PLAN   runs a plan, killed three times, and once whole
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from sae_core.audit.experiments.comparisons import Against, OutcomeValues, compare_arms

SIMULATED = 1_000
PAIRS = 50  # simulated experiments that share the draws of one bootstrap

Numbers = NDArray[np.float64]
Pairs = Callable[[np.random.Generator, int, int], tuple[Numbers, Numbers]]
Noise = Callable[[np.random.Generator, tuple[int, int]], Numbers]


def _numbers(draw: Noise, shift: float) -> Pairs:
    """Prompts differ among each other; the arm adds a shift and a skewed noise of its own."""

    def pairs(rng: np.random.Generator, n: int, k: int) -> tuple[Numbers, Numbers]:
        prompt = rng.normal(0, 1, (n, k))
        return prompt + shift + draw(rng, (n, k)), prompt + 0.3 * rng.normal(0, 1, (n, k))

    return pairs


def _happens(before: float, after: float, samples: int) -> Pairs:
    """Shares of samples in which something happens; prompts are easy and hard ones."""

    def pairs(rng: np.random.Generator, n: int, k: int) -> tuple[Numbers, Numbers]:
        ease = rng.normal(0, 1, (n, k))
        shares = [ndtr(math.sqrt(2) * ndtri(p) + ease) for p in (after, before)]
        first, second = (rng.binomial(samples, share) / samples for share in shares)
        return first, second

    return pairs


def _exponential(rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    return rng.exponential(1, shape) - 1


def _lognormal(rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    return np.exp(rng.normal(0, 0.75, shape)) - math.exp(0.75**2 / 2)


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
    return rng.normal(0, 1, shape)


CASES: tuple[tuple[str, Pairs, float, bool, tuple[int, ...]], ...] = (
    ("normal", _numbers(_normal, 0.0), 0.0, False, (30, 200)),
    ("normal", _numbers(_normal, 0.5), 0.5, False, (30, 200)),
    ("exponential", _numbers(_exponential, 0.0), 0.0, False, (30, 50, 200, 1000)),
    ("exponential", _numbers(_exponential, 0.5), 0.5, False, (30, 50, 200, 1000)),
    ("lognormal", _numbers(_lognormal, 0.5), 0.5, False, (30, 50, 200, 1000)),
    ("happens", _happens(0.3, 0.3, 1), 0.0, True, (30, 50, 200, 1000)),
    ("happens", _happens(0.3, 0.45, 1), 0.15, True, (30, 50, 200, 1000)),
    ("happens", _happens(0.1, 0.6, 1), 0.5, True, (30, 50, 200)),
    ("happens", _happens(0.05, 0.1, 1), 0.05, True, (100, 200, 1000)),
    ("happens, 4 samples", _happens(0.3, 0.45, 4), 0.15, True, (30, 50, 200)),
    ("happens, 4 samples", _happens(0.05, 0.1, 4), 0.05, True, (50, 200, 1000)),
)


def coverage(simulated: int) -> None:
    """Print how often the 95 % interval holds the true difference, and percentile ones beside."""
    print(f"{'outcome':20} {'effect':>7} {'prompts':>8} {'covers':>7} {'percentile':>11}")
    for name, pairs, truth, happens, sizes in CASES:
        for n in sizes:
            held, plain = 0, 0
            for seed in range(simulated // PAIRS):
                rng = np.random.default_rng([seed, n])
                first, second = pairs(rng, n, PAIRS)
                held += _held(first, second, truth, happens, seed)
                plain += _percentile(first - second, truth, rng)
            total = simulated // PAIRS * PAIRS
            print(
                f"{name:20} {truth:7.2f} {n:8,} {held / total:7.1%} {plain / total:11.1%}",
                flush=True,
            )


def _held(first: Numbers, second: Numbers, truth: float, happens: bool, seed: int) -> int:
    """Of pairs of arms [n, k], how many intervals hold the truth: the product's own figures."""
    k = first.shape[1]
    arms = ["unsteered", *(f"a{i}" for i in range(k)), *(f"c{i}" for i in range(k))]
    values = np.concatenate([second[:, :1], first, second], axis=1)
    made = compare_arms(
        [OutcomeValues("x", values, happens)], arms, {f"a{i}": [f"c{i}"] for i in range(k)}, seed
    )
    rows = [row for row in made.differences if row.against is Against.CONTROL]
    # Where no prompt differs there is no interval: it says so, which holds where nothing does.
    return sum(
        row.low <= truth <= row.high if not math.isnan(row.low) else truth == 0 for row in rows
    )


def _percentile(apart: Numbers, truth: float, rng: np.random.Generator) -> int:
    n = len(apart)
    counts = rng.multinomial(n, np.full(n, 1 / n), 2_000)
    low, high = np.quantile(counts @ apart / n, (0.025, 0.975), axis=0)
    return int(((low <= truth) & (truth <= high)).sum())


def false_alarms(simulated: int) -> None:
    """Print in how many experiments without any effect a comparison stands after correction."""
    cases = (_happens(0.2, 0.2, 1), _happens(0.1, 0.1, 4))
    names = ["unsteered", "a", "b", "random a", "random b"]
    for n in (30, 100):
        alarms = 0
        for seed in range(simulated):
            rng = np.random.default_rng([seed, n, 1])
            outcomes = [
                OutcomeValues(str(number), pairs(rng, n, 5)[1], True)
                for number, pairs in enumerate(cases)
            ]
            prompt = rng.normal(0, 1, (n, 1))
            skewed = prompt + rng.exponential(1, (n, 5))
            outcomes.append(OutcomeValues("skewed", skewed, False))
            made = compare_arms(outcomes, names, {"a": ["random a"], "b": ["random b"]}, seed)
            alarms += any(row.corrected <= 0.05 for row in made.differences)
        print(
            f"no effect, {n} prompts, {len(made.differences)} comparisons: {alarms:,} of "
            f"{simulated:,} experiments have an alarm ({alarms / simulated:.1%}); 5 % was asked "
            "for.",
            flush=True,
        )


def kills(plan: Path, times: int = 3) -> None:
    """Run a plan, killed `times` times, then once whole; the two files have to be the same."""
    for name, killed in (("killed", times), ("whole", 0)):
        _forget()
        for number in range(killed):
            process = subprocess.Popen(_command(plan), stderr=subprocess.DEVNULL)
            _wait_for_batches(process, (number + 1) * 10)
            process.send_signal(signal.SIGKILL)
            process.wait()
            print(f"{name}: killed with {len(list(_batches()))} batches on the disk", flush=True)
        began = time.monotonic()
        subprocess.run(_command(plan), check=True, stderr=subprocess.DEVNULL)
        result = next(_home().glob("experiments/*/result-*.json"))
        digest = hashlib.sha256(result.read_bytes()).hexdigest()
        print(
            f"{name}: {time.monotonic() - began:.1f} s for the rest; {len(list(_batches()))} "
            f"batches, {result.stat().st_size:,} bytes, SHA-256 {digest}",
            flush=True,
        )


def _wait_for_batches(process: subprocess.Popen[bytes], count: int) -> None:
    while process.poll() is None and len(list(_batches())) < count:
        time.sleep(0.02)


def _batches() -> Iterator[Path]:
    return _home().glob("experiments/*/batch-*.json")


def _home() -> Path:
    return Path(os.environ["FEATURESCOPE_HOME"])


def _forget() -> None:
    from app.settings import read_settings
    from app.store.store import open_store

    shutil.rmtree(_home() / "experiments", ignore_errors=True)
    with open_store(read_settings()) as store:
        for line in store.audit.experiments.all():
            store.audit.experiments.forget(line.name)


def _command(plan: Path) -> list[str]:
    return [sys.executable, "-m", "app", "experiment", str(plan)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--kills", metavar="PLAN", type=Path)
    parser.add_argument("--simulated", type=int, default=SIMULATED)
    arguments = parser.parse_args()
    if arguments.coverage:
        coverage(arguments.simulated)
        false_alarms(arguments.simulated)
    if arguments.kills:
        kills(arguments.kills)


if __name__ == "__main__":
    main()
