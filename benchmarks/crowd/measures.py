"""All measures of one build, each on a server of its own over a fresh copy of the store."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.settings import Settings
from benchmarks.ablation import copy_without_effects
from benchmarks.crowd import rude
from benchmarks.crowd.mixed import Crowd, verified
from benchmarks.served import Served, serving

STREAMS = 10_000
MEGABYTES = 1000
CROWD_SECONDS = 180.0
DESCRIPTORS = 1024
TABLE = "/api/v1/d/demo/mlp-4096?sort=density&order=desc&page={page}"
PAGES = range(1, 41)

Measure = Callable[[Served, list[int]], Coroutine[Any, Any, str]]


def measure(
    settings: Settings, build: Path | None, names: list[str], scale: float
) -> Iterator[tuple[str, str]]:
    """What was measured, and what came out, as it comes out.

    Args:
        settings: whose store is copied.
        build: the clone that is served; None: this one.
        names: of the measures; none: all.
        scale: of the number of streams, and of the crowd's time.
    """
    streams = int(STREAMS * scale)
    measures: dict[str, Measure] = {
        "abandoned": lambda served, features: rude.abandoned(served, features, streams),
        "hung": rude.hung,
        "body": lambda served, _: rude.large_body(served, MEGABYTES, chunked=False),
        "chunks": lambda served, _: rude.large_body(served, MEGABYTES, chunked=True),
        "greedy": rude.greedy,
    }
    for name, ask in measures.items():
        if name in names or not names:
            with _fresh(settings, build) as (served, features):
                yield name, asyncio.run(ask(served, features))
    if "silent" in names or not names:
        with tempfile.NamedTemporaryFile() as log:
            path = Path(log.name)
            with _fresh(settings, build, descriptors=DESCRIPTORS, log=path) as (served, _):
                yield "silent", asyncio.run(rude.silent(served, path))
    if "mixed" in names or not names:
        seconds = CROWD_SECONDS * scale
        with _fresh(settings, build) as (served, features):
            tally = asyncio.run(Crowd(served, features, seconds).run())
        yield from tally.report(seconds).items()
        with _fresh(settings, build) as (served, _):
            yield "ablations anew", asyncio.run(verified(served, tally))


@contextmanager
def _fresh(
    settings: Settings, build: Path | None, **how: Any
) -> Iterator[tuple[Served, list[int]]]:
    """A server with a ready worker and a store without ablations, and features that fire."""
    with tempfile.TemporaryDirectory() as folder:
        copied = copy_without_effects(settings, Path(folder))
        with serving(copied, build=build, **how) as served:
            rows = [served.http.get(TABLE.format(page=page)).json()["features"] for page in PAGES]
            features = [row["index"] for page in rows for row in page]
            random.Random(0).shuffle(features)
            # The first request loads the model: measured is a worker that is in use.
            asyncio.run(rude.Client(served.port).persist(rude.ablation(features.pop())))
            yield served, features
