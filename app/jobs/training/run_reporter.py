"""A training reports to the store: what it is, its curves, how it ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from app.errors import StoreError
from app.store.store import Store
from app.store.types.runs import RunRecord
from sae_core.dictionaries.dictionary import Output
from sae_core.errors import FeaturescopeError
from sae_core.training.config import TrainingConfig, TrainingPoint

_log = logging.getLogger(__name__)


def without_distributions(figures: Mapping[str, Any]) -> dict[str, Any]:
    """`Evaluation.figures()` with the intervals, but not the histograms: those of many trainings
    would be too much, and the dictionary's own page has them."""
    kept = {key: value for key, value in figures.items() if key != "details"}
    details = figures.get("details", {})
    intervals = {key: details[key] for key in ("intervals", "interval_method") if key in details}
    return kept | ({"details": intervals} if details.get("intervals") else {})


def output_settings(output: Output | None) -> dict[str, Any]:
    """What a run's settings say of a transcoder's output; nothing of any other dictionary's."""
    if output is None:
        return {}
    return {"output_hook_point": output.hook_point, "skip": output.skip}


class RunReporter:
    """Reports one training. Entered as a context, it also reports how it ended, where it did not
    finish: stopped by Ctrl-C, or failed with a sentence.

    A store that cannot be written for a while (it is locked by a publication) does not stop the
    training: what was not written yet comes with the next point.

    Args:
        store: where to.
        name: of the run, unique; the same run reported before goes on.
        config: how it trains.
        model: name of the language model.
        hook_point: where the dictionary reads.
        settings: what else the result hangs on, for the page: JSON values, such as `corpus`,
            `n_ctx`, and `command`, the command line that starts and resumes it.
        sweep: name of the sweep it belongs to; empty: none.
        replace: let another run of that name go, whatever came of it.

    Raises:
        InvalidRequest: another run of that name runs or has finished.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        config: TrainingConfig,
        model: str,
        hook_point: str,
        settings: Mapping[str, Any] | None = None,
        sweep: str = "",
        replace: bool = False,
    ) -> None:
        self._runs, self._name = store.runs, name
        self._waiting: list[TrainingPoint] = []
        self._ended = False
        record = RunRecord(name, model, hook_point, asdict(config), settings or {}, sweep)
        self._runs.begin(record, replace)

    def on_point(self, point: TrainingPoint) -> None:
        """The next point of the curves; those stored from its step on are replaced."""
        self._waiting.append(point)
        try:
            self._runs.add_points(self._name, self._waiting)
            self._waiting.clear()
        except StoreError as error:
            _log.warning("A point of the curves waits: %s", error)

    def finish(
        self, evaluation: Mapping[str, Any] | None, folder: str | None, checksum: str
    ) -> None:
        """It is trained.

        Args:
            evaluation: `Evaluation.figures()`; None: not evaluated.
            folder: of the dictionary; None: it was not kept.
            checksum: of the dictionary.
        """
        kept = None if evaluation is None else without_distributions(evaluation)
        self._end("finished", evaluation=kept, folder=folder, checksum=checksum)

    def fail(self, message: str) -> None:
        """It cannot go on; the sentence says why."""
        self._end("failed", message=message)

    def stop(self) -> None:
        """It was interrupted, and the same command goes on."""
        self._end("stopped")

    def _end(self, status: Any, **outcome: Any) -> None:
        self._ended = True
        self._runs.add_points(self._name, self._waiting)
        self._waiting.clear()
        self._runs.end(self._name, status, **outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ended or error is None:
            return
        try:
            if isinstance(error, KeyboardInterrupt):
                self.stop()
            else:
                expected = isinstance(error, FeaturescopeError)
                self.fail(str(error) if expected else f"A defect: {type(error).__name__}: {error}")
        except StoreError as failure:  # the training's own error matters more
            _log.warning("How the training ended was not reported: %s", failure)
