"""How fast the store is, and how large: `python -m benchmarks.store`, a few minutes at most.

On SQLite and on a throw-away Postgres: publishes 4096 features with 95 examples of four firings,
512 neurons with 95 examples of thirty, both over 8192 windows of 128 tokens; then reads pages of
them, and of a table of 65,536 features.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine, event

from app.store import database
from app.store.store import Store
from app.store.types.queries import SORTS, FeatureQuery
from sae_core.harvest.records import (
    N_BANDS,
    N_HISTOGRAM,
    ExampleGroup,
    Examples,
    FeatureRecord,
    GroupKind,
    Histogram,
    Ranking,
    WindowRecord,
)
from tests import factories
from tests.postgres import postgres

N_CTX = 128
D_VOCAB = 4096
N_WINDOWS = 8192
N_TOKENS = N_WINDOWS * (N_CTX - 1)


@dataclass(frozen=True)
class Line:
    """One measured thing."""

    name: str
    value: str


def main() -> None:
    lines: dict[str, list[Line]] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for name, url in (
            ("SQLite", f"sqlite:///{folder}/store.db"),
            ("Postgres", stack.enter_context(postgres())),
        ):
            engine = database.connect(url)
            stack.callback(engine.dispose)
            database.upgrade(engine)
            lines[name] = list(measure(engine))
    width = max(len(line.name) for line in lines["SQLite"])
    print(f"{'':{width}}", *(f"{name:>18}" for name in lines))
    for row in zip(*lines.values(), strict=True):
        print(f"{row[0].name:{width}}", *(f"{line.value:>18}" for line in row))


def measure(engine: Engine) -> Iterator[Line]:
    store = Store(engine)
    windows = list(make_windows())
    start = size(engine)
    for name, count, firings in (("features", 4096, 4), ("neurons", 512, 30)):
        features = [make_feature(i, firings, per_band=5, ends=20) for i in range(count)]
        seconds = publish(store, name, features, windows)
        now = size(engine)
        what = "features and 8192 windows" if name == "features" else name
        yield Line(f"publish {count} {what}, s", f"{seconds:.2f}")
        yield Line(f"bytes per {name[:-1]}, windows included", f"{(now - start) / count:.0f}")
        start = now
        view = store.dictionary("bench", name)
        rng = np.random.default_rng(1)
        picks = iter(rng.integers(0, count, 1000).tolist())
        yield timed(
            f"read one of {count} {name}", lambda v=view, p=picks: store.feature(v, next(p))
        )
        with Counter(engine) as counter:
            store.feature(view, 7)
        yield Line("  statements, BEGIN included", str(counter.statements))
    wide = [make_feature(i, 2, per_band=0, ends=1) for i in range(65536)]
    yield Line("publish 65536 small features, s", f"{publish(store, 'wide', wide, windows):.2f}")
    view = store.dictionary("bench", "wide")
    pages = FeatureQuery().per_page
    last = view.d_sae // pages
    for sort in SORTS:
        for page in (1, last // 2, last):
            query = FeatureQuery(sort=sort, descending=True, page=page)
            yield timed(
                f"table of 65536 by {sort}, page {page}",
                lambda v=view, q=query: store.features(v, q),
                repeat=30,
            )
    with Counter(engine) as counter:
        store.features(view, FeatureQuery(sort="density"))
    yield Line("  statements, BEGIN included", str(counter.statements))


def publish(
    store: Store, name: str, features: list[FeatureRecord], windows: list[WindowRecord]
) -> float:
    started = time.perf_counter()
    store.publish(
        factories.harvest(name, "bench", n_ctx=N_CTX, n_tokens=N_TOKENS, n_windows=N_WINDOWS),
        features,
        windows,
        model=factories.model("bench", d_vocab=D_VOCAB),
        dictionary=factories.dictionary(name, "bench", d_sae=len(features)),
        corpus=factories.corpus(),
    )
    return time.perf_counter() - started


def timed(name: str, work: Callable[[], object], repeat: int = 200) -> Line:
    for _ in range(10):
        work()
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - started))
    p50, p95 = np.percentile(times, [50, 95])
    return Line(f"{name}, ms p50 / p95", f"{p50:.2f} / {p95:.2f}")


def size(engine: Engine) -> int:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
        whole = "SELECT pg_database_size(current_database())"
        return int(connection.exec_driver_sql(whole).scalar_one())


class Counter:
    """Counts the statements that an engine executes inside the block."""

    def __init__(self, engine: Engine) -> None:
        self.statements = 0
        self._engine = engine

    def __enter__(self) -> Counter:
        event.listen(self._engine, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        self.statements += 1


def make_windows() -> Iterator[WindowRecord]:
    rng = np.random.default_rng(0)
    for number in range(N_WINDOWS):
        # ids of real text are far from uniform: Zipf's law
        tokens = np.minimum(rng.zipf(1.2, N_CTX), D_VOCAB) - 1
        yield WindowRecord(number, f"package/module_{number // 40}.py", number % 900, tokens)


def make_feature(index: int, firings: int, per_band: int, ends: int) -> FeatureRecord:
    rng = np.random.default_rng([2, index])
    maximum = float(rng.gamma(2.0, 2.0))
    groups = [make_group(rng, GroupKind.TOP, -1, ends, firings, maximum)]
    if per_band:
        bands = reversed(range(N_BANDS))
        groups += [make_group(rng, GroupKind.BAND, b, per_band, firings, maximum) for b in bands]
        groups.append(make_group(rng, GroupKind.WEAKEST, -1, ends, firings, maximum))
    counts = np.sort(rng.poisson(rng.exponential(50.0, N_HISTOGRAM)))[::-1].astype(np.int64)
    return FeatureRecord(
        index=index,
        firings=int(counts.sum()),
        maximum=maximum,
        activations=Histogram(0.0, maximum, counts),
        logits=Histogram(-2.0, 3.0, rng.poisson(100.0, N_HISTOGRAM).astype(np.int64)),
        raised=make_ranking(rng, 10),
        lowered=make_ranking(rng, 10),
        neurons=make_ranking(rng, 5),
        nearest=make_ranking(rng, 10),
        coactive=make_ranking(rng, 10),
        groups=tuple(groups),
    )


def make_group(
    rng: np.random.Generator, kind: GroupKind, band: int, count: int, mean: int, maximum: float
) -> ExampleGroup:
    counts = np.minimum(rng.poisson(mean - 1, count) + 1, N_CTX - 1)
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    positions = [np.sort(rng.permutation(N_CTX - 1)[:n] + 1) for n in counts]
    examples = Examples(
        windows=rng.integers(0, N_WINDOWS, count),
        peaks=np.array([p[0] for p in positions], dtype=np.uint16),
        bounds=bounds,
        positions=np.concatenate(positions).astype(np.uint16),
        values=(maximum * rng.beta(1.0, 4.0, bounds[-1])).astype(np.float32),
    )
    return ExampleGroup(kind, band, 0.0, maximum, 1000, examples)


def make_ranking(rng: np.random.Generator, count: int) -> Ranking:
    return Ranking(
        ids=rng.integers(0, D_VOCAB, count).astype(np.int32),
        weights=rng.normal(size=count).astype(np.float32),
        shares=rng.random(count).astype(np.float32),
    )


if __name__ == "__main__":
    sys.exit(main())
