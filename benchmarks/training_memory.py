"""Memory of a training, and what stopping it costs: `python -m benchmarks.training_memory`.

First the demo's model is trained on with random text of 1 million and of 100 million tokens, each
in a process of its own whose anonymous memory (all but mapped files, which the system can drop) is
read fifty times a second. Then `featurescope train` is interrupted (Ctrl-C) and killed (kill -9) at
random moments, resumed, and the weights' checksums are compared with an undisturbed run's.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from app.jobs.demo.contents import HOOK_POINT
from app.settings import resource
from sae_core.dictionaries.checkpoint import dictionary_checksum
from sae_core.language_model.model import load_model
from sae_core.text.tokenized import TokenizedCorpus, Windows
from sae_core.training.config import TrainingConfig, TrainingPoint
from sae_core.training.data.pools import POOL_TOKENS, TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.trainer import train

DOCUMENT = 1000
MB = 1e6
GROWTH_AT_MOST = 1.05
INDEX_MB_AT_MOST = 64.0  # sixteen bytes a window, and temporaries of some more


class Watch:
    """The most anonymous memory since the last look, bytes; a thread that reads it."""

    def __init__(self) -> None:
        self._peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self._peak = max(self._peak, anonymous_bytes())

    def look(self) -> int:
        peak, self._peak = max(self._peak, anonymous_bytes()), 0
        return peak

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def anonymous_bytes() -> int:
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


def random_text(folder: Path, n_tokens: int, d_vocab: int) -> TokenizedCorpus:
    """Documents of random tokens in a mapped file; one in fifty is held out."""
    path = folder / f"{n_tokens}.npy"
    tokens = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(n_tokens,))
    draw = np.random.default_rng(0)
    for begin in range(0, n_tokens, 1 << 20):
        part = tokens[begin : begin + (1 << 20)]
        part[:] = draw.integers(1, d_vocab, len(part))
    tokens.flush()
    n = n_tokens // DOCUMENT
    return TokenizedCorpus(
        name=f"random {n_tokens}",
        source="random tokens",
        fingerprint=str(n_tokens),
        tokens=np.load(path, mmap_mode="r"),
        offsets=np.arange(n + 1) * DOCUMENT,
        names=tuple(map(str, range(n))),
        held_out=np.arange(n) % 50 == 0,
    )


def peaks(n_tokens: int, trained: int) -> list[float]:
    """The most anonymous memory while each pool was trained on, MB."""
    with tempfile.TemporaryDirectory() as name:
        model = load_model(str(resource("demo") / "model"))
        corpus = random_text(Path(name), n_tokens, model.d_vocab)
        windows = Windows(corpus, 128, model.vocabulary.bos)
        stream = PoolStream(TextPools(model, HOOK_POINT, windows), 2048)
        config = TrainingConfig(tokens=trained)
        watch, found = Watch(), list[float]()

        def look(point: TrainingPoint) -> None:
            if point.tokens // POOL_TOKENS > len(found):
                found.append(watch.look() / MB)

        train(stream, config, HOOK_POINT, Path(name) / "training.ckpt", look, point_every=8)
        watch.close()
    return found


def memory(trained: int) -> bool:
    """Print the peaks; whether they grow."""
    print(f"Most anonymous memory (MB) while each pool of {POOL_TOKENS:,} tokens was trained on")
    found: dict[int, list[float]] = {}
    spawn = multiprocessing.get_context("spawn")
    for n_tokens in (1_000_000, 100_000_000):
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            found[n_tokens] = process.submit(peaks, n_tokens, trained).result()
        shown = "  ".join(f"{peak:7.0f}" for peak in found[n_tokens])
        print(f"  {n_tokens:>11,} tokens of text: {shown}", flush=True)
    small, large = found.values()
    grows = max(large[1:]) > GROWTH_AT_MOST * large[0]
    more = max(large) - max(small)
    print(f"  from the first pool to the last: {max(large[1:]) / large[0]:.3f} times")
    print(f"  100 million tokens against 1 million: {more:+.0f} MB")
    return grows or more > INDEX_MB_AT_MOST


def disturbed(command: list[str], signals: list[signal.Signals], seconds: float, seed: int) -> int:
    """Run a command to its end, stopped by each of the signals once; how many hit."""
    draw, hit = random.Random(seed), 0
    for number in signals:
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(draw.uniform(0.35, 0.8) * seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(number)
                hit += 1
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    return hit


def interrupts(tokens: str) -> bool:
    """Print what stopping a training changes of its weights; whether it does."""
    print(f"A training of {tokens} tokens, stopped and resumed, against an undisturbed one")
    model = str(resource("demo") / "model")
    options = ["--hook-point", HOOK_POINT, "--tokens", tokens, "--batch", "256"]
    differ = False
    with tempfile.TemporaryDirectory() as name:
        os.environ["FEATURESCOPE_HOME"] = f"{name}/home"

        def command(out: str) -> list[str]:
            words = [sys.executable, "-m", "app", "train", "--model", model, *options]
            return [*words, "--out", f"{name}/{out}"]

        subprocess.run(command("first"), stderr=subprocess.DEVNULL, check=True)
        begin = time.monotonic()  # the text is tokenized by now
        subprocess.run(command("whole"), stderr=subprocess.DEVNULL, check=True)
        seconds = time.monotonic() - begin
        whole = dictionary_checksum(Path(name) / "whole")
        print(f"  undisturbed, {seconds:.0f} s: {whole[:16]}", flush=True)
        for number, spelled in ((signal.SIGINT, "Ctrl-C"), (signal.SIGKILL, "kill -9")):
            hit = disturbed(command(number.name), [number] * 2, seconds, int(number))
            found = dictionary_checksum(Path(name) / number.name)
            differ |= found != whole or hit == 0
            verdict = "identical" if found == whole else "DIFFERENT"
            print(f"  {spelled}, {hit} times: {found[:16]}, {verdict}", flush=True)
    return differ


def main(words: list[str] | None = None) -> int:
    """Measure both; how many promises were missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", type=int, default=6 * POOL_TOKENS, help="tokens trained on")
    parser.add_argument("--tokens", default="600k", help="tokens of the trainings that are stopped")
    options = parser.parse_args([] if words is None else words)
    return memory(options.trained) + interrupts(options.tokens)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
