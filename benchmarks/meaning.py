"""How fast the search by meaning finds vectors, and how many of the nearest ones it misses:
`python -m benchmarks.meaning [--vectors N] [--sentences FOLDER]`, about two minutes at a million.

The floor is one product of all vectors with the query, read from memory in float32. The vectors are
made up: each is one of some thousand meanings with noise around it, as texts that say nearly the
same are. With a sentence model the time to embed a query is measured, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sae_core.meaning.sentence_model import SentenceModel, find_sentence_model
from sae_core.meaning.vectors import open_vectors, save_vectors

WIDTH = 384  # of the small sentence models
MEANINGS = 5000
NOISE = 0.6  # of a vector's length around its meaning
WANTED = 10
QUERIES = 100
SENTENCE = "raises an exception when a file cannot be opened"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--sentences", default="", help="folder of a sentence model")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    vectors = _vectors(options.vectors, rng)
    queries = _around(vectors[rng.integers(len(vectors), size=QUERIES)], rng)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "vectors"
        began = time.perf_counter()
        texts = [f"{SENTENCE} {number}" for number in range(len(vectors))]
        save_vectors(folder, range(len(vectors)), texts, vectors, {})
        print(f"{len(vectors):,} vectors of {WIDTH} saved in {time.perf_counter() - began:.1f} s")
        began = time.perf_counter()
        saved = open_vectors(folder)
        assert saved is not None
        print(f"opened in {time.perf_counter() - began:.2f} s")
        exact, floor = [], []
        for query in queries:
            began = time.perf_counter()
            exact.append(np.argpartition(-(vectors @ query), WANTED)[:WANTED])
            floor.append(time.perf_counter() - began)
        shares, times = [], []
        for query, nearest in zip(queries, exact, strict=True):
            began = time.perf_counter()
            hits = saved.nearest(query, WANTED)
            times.append(time.perf_counter() - began)
            shares.append(len({hit.row for hit in hits} & {*nearest.tolist()}) / WANTED)
    print(f"every product in float32: {_told(floor)}")
    print(f"signs, codes, exact:      {_told(times)}")
    print(f"of the {WANTED} nearest found: {np.mean(shares):.1%} (worst query {min(shares):.0%})")
    if options.sentences:
        encoder = SentenceModel(find_sentence_model(options.sentences))
        encoder.encode([SENTENCE])
        asked = []
        for number in range(QUERIES):
            began = time.perf_counter()
            encoder.encode([f"{SENTENCE} {number}"])
            asked.append(time.perf_counter() - began)
        print(f"a query embedded:         {_told(asked)}")
    return 0


def _vectors(n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    meanings = rng.standard_normal((MEANINGS, WIDTH), dtype=np.float32)
    meanings /= np.linalg.norm(meanings, axis=1, keepdims=True)
    return _around(meanings[rng.integers(MEANINGS, size=n)], rng)


def _around(vectors: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Each with noise of its own, of length 1."""
    noise = rng.standard_normal(vectors.shape, dtype=np.float32)
    noise *= np.float32(NOISE / np.sqrt(WIDTH))
    noise += vectors
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return noise


def _told(seconds: Sequence[float]) -> str:
    middle, late = np.percentile(seconds, [50, 95]) * 1000
    return f"p50 {middle:6.1f} ms, p95 {late:6.1f} ms"


if __name__ == "__main__":
    raise SystemExit(main())
