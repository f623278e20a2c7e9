"""Progress of long work: a bar on the terminal, a row in the store for the home page."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Never, TypeVar

from tqdm import tqdm

from app.store.store import Store

T = TypeVar("T")
REPORT_SECONDS = 1.0


class PhaseBar:
    """One phase of the work, such as the pass over the corpus: a bar, and a row in the store."""

    def __init__(self, reporter: Reporter, bar: tqdm[Never]) -> None:
        self._reporter = reporter
        self._bar = bar
        self._reported = 0.0

    def update(self, done: int, rate: float | None = None) -> None:
        """Move to `done`; `rate` in units per second where it is known better than by the bar."""
        self._bar.update(done - self._bar.n)
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._reported = time.monotonic()
            speed = rate if rate is not None else float(self._bar.format_dict["rate"] or 0.0)
            self._reporter.report(self._bar.desc, done, int(self._bar.total or 0), speed)


class Reporter:
    """Shows on the terminal and in the store how far the harvest of one dictionary is."""

    def __init__(self, store: Store, model: str, dictionary: str) -> None:
        self._store, self._model, self._dictionary = store, model, dictionary

    def report(self, phase: str, done: int, total: int, rate: float) -> None:
        """Write one line of progress to the store."""
        self._store.progress.report(self._model, self._dictionary, phase, done, total, rate)

    def clear(self) -> None:
        """The work has ended."""
        self._store.progress.clear(self._model, self._dictionary)

    @contextmanager
    def phase(self, name: str, total: int, unit: str, begin: int = 0) -> Iterator[PhaseBar]:
        """A bar from `begin` to `total` for one phase."""
        bar: tqdm[Never] = tqdm(
            total=total, initial=begin, desc=name, unit=unit, unit_scale=True, file=sys.stderr
        )
        with bar:
            self.report(name, begin, total, 0.0)
            yield PhaseBar(self, bar)

    def each(self, name: str, items: Iterable[T], total: int, unit: str) -> Iterator[T]:
        """Pass items through with a bar."""
        with self.phase(name, total, unit) as phase:
            for n, item in enumerate(items, start=1):
                yield item
                phase.update(n)
