"""Sweeps: many dictionaries trained on the same activations, each evaluated on the same text."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Never

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from app.errors import InvalidRequest, StoreError
from app.jobs.harvested.evaluate import EVALUATION_TOKENS
from app.jobs.source import evaluation_windows, open_model, open_windows
from app.jobs.training.peak_memory import forget_peak, peak_bytes
from app.jobs.training.run_reporter import (
    RunReporter,
    output_settings,
    without_distributions,
)
from app.jobs.training.sweeps.plan import PlannedRun, SweepPlan
from app.jobs.training.sweeps.records import (
    SweepRecord,
    import_record,
    path_of,
    read_record,
    run_name,
    write_record,
)
from app.settings import Settings
from app.store.store import open_store
from sae_core.dictionaries.checkpoint import dictionary_checksum, save_dictionary
from sae_core.dictionaries.dictionary import Dictionary, TrainedOn
from sae_core.errors import DiskError, FeaturescopeError, TrainingError
from sae_core.evaluation.evaluation import evaluate
from sae_core.training.config import TrainingConfig, TrainingPoint
from sae_core.training.data.activation_cache import CachedPools
from sae_core.training.data.downstream import DownstreamLoss
from sae_core.training.data.ends import output_at
from sae_core.training.data.pools import PoolSource, TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.methods import method_class
from sae_core.training.trainer import train

UNFINISHED = "unfinished"  # checkpoints
DICTIONARIES = "dictionaries"  # weights, where they are kept
ORDER_SEED = 0  # of text and shuffles: the same for all runs, whatever their own seed
_CHECKSUMS = ("model_checksum", "corpus_fingerprint", "activations")
_DECIDING = (*_CHECKSUMS, "n_ctx", "evaluation_tokens", "output_hook_point", "skip")
_DIFFERING = {
    "model_checksum": "model",
    "corpus_fingerprint": "text",
    "activations": "order of the text, or type of the activations",
    "n_ctx": "context",
    "evaluation_tokens": "number of tokens to evaluate on",
    "tokens": "number of tokens",
    "d_sae": "number of features",
    "l0": "L0",
    "skip": "skip connection",
}

_log = logging.getLogger(__name__)


def run_sweep(
    settings: Settings,
    plan: SweepPlan,
    folder: Path,
    cache: Path | None = None,
    keep_weights: bool = False,
) -> None:
    """Train and evaluate what of the plan is not done, into `folder` and the store.

    Killed at any time, the same call goes on: finished runs are left alone, an unfinished one goes
    on from its checkpoint, a failed one is tried again.

    Args:
        settings: where the store is.
        plan: what to train.
        folder: of results, checkpoints and, where they are kept, weights.
        cache: folder of activations, made once for all runs; None: made anew for each.
        keep_weights: keep the dictionaries, too.

    Raises:
        InvalidRequest: the folder holds results of another sweep, or another process works on it.
        TrainingError: runs failed; the others are done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
    except OSError as error:
        raise DiskError(
            f"{folder} cannot be written ({error.strerror}): choose another --out."
        ) from error
    try:
        with FileLock(folder / "lock", timeout=0):
            failed = _Sweep(settings, plan, folder, cache, keep_weights).run()
    except Timeout as error:
        raise InvalidRequest(
            f"Another process works on the sweep in {folder}: wait for it, or stop it first."
        ) from error
    if failed:
        raise TrainingError(_failures(failed, len(plan.runs)))


def _failures(failed: Sequence[str], n_runs: int) -> str:
    """What came of a sweep with failures."""
    single = len(failed) == 1
    if len(failed) < n_runs:
        who, others = f"{len(failed)} of {n_runs} runs", "The others are done; the"
    else:
        who, others = "The only run" if single else f"All {n_runs} runs", "The"
    return (
        f"{who} failed ({', '.join(failed)}); the reason{'' if single else 's'} "
        f"stand{'s' if single else ''} above. {others} same command tries "
        f"{'it' if single else 'them'} again."
    )


class _Sweep:
    """A sweep whose parts are opened when the first run needs them."""

    def __init__(
        self,
        settings: Settings,
        plan: SweepPlan,
        folder: Path,
        cache: Path | None,
        keep_weights: bool,
    ) -> None:
        self._plan, self._folder = plan, folder
        self._keep = keep_weights
        model = open_model(settings, plan.model)
        self._model = model.opening(model.own_opening)
        self._output = output_at(self._model, plan.hook_point, plan.output_hook_point, plan.skip)
        if self._output is not None and self._output.layers > 1:
            raise InvalidRequest(
                "A sweep compares dictionaries of one place: give the number of a block where "
                f"{plan.hook_point} has a *, or train the cross-layer transcoder alone."
            )
        for architecture in {planned.config.architecture for planned in plan.runs}:
            method_class(architecture).check_output(self._output)
        self._windows = open_windows(settings, self._model, plan.corpus, plan.n_ctx)
        self._store = open_store(settings)
        made = TextPools(
            self._model,
            plan.hook_point,
            self._windows,
            ORDER_SEED,
            output_hook_point=plan.output_hook_point,
        )
        self._pools: PoolSource = CachedPools(made, cache) if cache else made
        self._numbers = evaluation_windows(self._windows, EVALUATION_TOKENS, ORDER_SEED)

    def run(self) -> list[str]:
        """Do all runs; names of those that failed."""
        failed = []
        done = {run.name: self._done(run) for run in self._plan.runs}  # refusals come first
        for number, run in enumerate(self._plan.runs, 1):
            record = done[run.name]
            if record is None:
                record = self._attempt(run, f"{number}/{len(self._plan.runs)} {run.name}")
                write_record(self._folder, record)
            if record.status == "finished":
                self._checkpoint(run).unlink(missing_ok=True)
            else:
                failed.append(run.name)
                tqdm.write(f"{run.name} failed: {record.message}", file=sys.stderr)
            self._import(record)
        with suppress(OSError):  # there may be checkpoints of failed runs, or of another plan
            (self._folder / UNFINISHED).rmdir()
        self._store.close()
        return failed

    def _import(self, record: SweepRecord) -> None:
        """Show it in the store. A store that fails is no reason to stop: the folder has it all."""
        try:
            import_record(self._store, self._folder, record)
        except StoreError as error:
            _log.warning(
                "%s is not in the store (%s): `featurescope sweep --import %s` puts it there.",
                record.run,
                error,
                self._folder,
            )

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """What the figures of all runs hang on besides their configurations."""
        corpus = self._windows.corpus
        return {
            "model_checksum": self._model.checksum,
            "corpus": corpus.source,
            "corpus_fingerprint": corpus.fingerprint,
            "n_ctx": self._windows.n_ctx,
            "activations": self._pools.identity,
            "order_seed": ORDER_SEED,
            "evaluation_tokens": EVALUATION_TOKENS,
            "held_out": bool(corpus.held_out.any()),
            "torch": torch.__version__,
        } | output_settings(self._output)

    def _done(self, run: PlannedRun) -> SweepRecord | None:
        """The run's record, where it has finished.

        Raises:
            InvalidRequest: it belongs to another sweep, or cannot be read.
        """
        path = path_of(self._folder, run.name)
        if not path.exists():
            return None
        record = read_record(path)
        here = {"hook_point": self._plan.hook_point} | _plain(run.config)
        here |= {key: self._settings.get(key) for key in _DECIDING}
        there = {"hook_point": record.hook_point, **record.config}
        there |= {key: record.settings.get(key) for key in _DECIDING}
        other = [key for key in here if here[key] != there.get(key)]
        if len(other) > 1 and "activations" in other:
            other.remove("activations")  # a checksum over most of the others
        if other:
            differences = [_difference(key, there.get(key), here[key]) for key in other]
            raise InvalidRequest(
                f"{path} was made with another {' and another '.join(differences)}: choose "
                "another --out, or remove it to train that run anew."
            )
        return record if record.status == "finished" else None

    def _attempt(self, run: PlannedRun, title: str) -> SweepRecord:
        """Train and evaluate; a failure becomes a record, too."""
        rate = method_class(run.config.architecture).peak(run.config)
        record = SweepRecord(
            sweep=self._plan.name,
            run=run.name,
            model=self._plan.model_name or self._model.name,
            hook_point=self._plan.hook_point,
            config=_plain(run.config),
            settings=self._settings | {"learning_rate": rate},
            status="failed",
        )
        try:
            return self._train(run, record, title)
        except DiskError:  # the next run would meet the same
            raise
        except FeaturescopeError as error:
            return replace(record, message=str(error))
        except (RuntimeError, ArithmeticError, ValueError, MemoryError) as error:
            _log.exception("The run %s met a defect.", run.name)
            return replace(record, message=f"A defect: {type(error).__name__}: {error}")

    def _train(self, run: PlannedRun, record: SweepRecord, title: str) -> SweepRecord:
        config = run.config
        forget_peak()
        with ExitStack() as stack:
            reporter = self._reporter(record, config)
            if reporter is not None:
                stack.enter_context(reporter)
            bar: tqdm[Never] = stack.enter_context(
                tqdm(
                    total=config.steps * config.batch,
                    desc=title,
                    unit="tok",
                    unit_scale=True,
                    file=sys.stderr,
                )
            )

            def on_point(point: TrainingPoint) -> None:
                bar.update(point.tokens - bar.n)
                bar.set_postfix_str(_in_short(point))
                if reporter is not None:
                    reporter.on_point(point)

            stream = PoolStream(self._pools, config.batch)
            trained = train(
                stream,
                config,
                self._plan.hook_point,
                self._checkpoint(run),
                on_point,
                self._downstream(config),
                output=self._output,
            )
            del stream  # its pool
            peak = peak_bytes()
            since = time.monotonic()
            result = evaluate(self._model, trained.dictionary, self._windows, self._numbers)
            evaluated = time.monotonic() - since
        checksum, kept = self._saved(run, trained.dictionary)
        return replace(
            record,
            status="finished",
            evaluation=without_distributions(result.figures()),
            cost={
                "seconds": round(_seconds(trained.curve), 3),
                "evaluation_seconds": round(evaluated, 3),
                "peak_bytes": peak,
                "threads": torch.get_num_threads(),
            },
            checksum=checksum,
            folder=kept,
            curve=trained.curve,
        )

    def _downstream(self, config: TrainingConfig) -> DownstreamLoss | None:
        """What the last steps train for besides, where the configuration asks for it."""
        if not config.downstream:
            return None
        return DownstreamLoss(
            self._model,
            self._plan.hook_point,
            self._windows,
            config.batch,
            ORDER_SEED,
            self._plan.output_hook_point,
        )

    def _reporter(self, record: SweepRecord, config: TrainingConfig) -> RunReporter | None:
        """The run in the store while it trains; a store that fails stops no training."""
        try:
            return RunReporter(
                self._store,
                run_name(record.sweep, record.run),
                config,
                record.model,
                record.hook_point,
                record.settings,
                record.sweep,
                replace=True,
            )
        except StoreError as error:
            _log.warning("The run is not shown while it trains: %s", error)
            return None

    def _checkpoint(self, run: PlannedRun) -> Path:
        return self._folder / UNFINISHED / f"{run.name}.safetensors"

    def _saved(self, run: PlannedRun, dictionary: Dictionary) -> tuple[str, str | None]:
        """Checksum of the dictionary's files, and where they are kept."""
        windows = self._windows
        dictionary.trained_on = TrainedOn(windows.bos is not None, windows.n_ctx)
        if self._keep:
            kept = f"{DICTIONARIES}/{run.name}"
            save_dictionary(dictionary, self._folder / kept)
            return dictionary_checksum(self._folder / kept), kept
        with tempfile.TemporaryDirectory(dir=self._folder) as draft:
            save_dictionary(dictionary, Path(draft))
            return dictionary_checksum(Path(draft)), None


def _difference(key: str, there: object, here: object) -> str:
    """What differs between a result and a plan, with both values where they say something."""
    name = _DIFFERING.get(key, key.replace("_", " "))
    return name if key in _CHECKSUMS else f"{name} ({there}, now {here})"


def _plain(config: TrainingConfig) -> dict[str, Any]:
    """A configuration as JSON has it."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return plain


def _seconds(curve: Sequence[TrainingPoint]) -> float:
    """Of training, from the speeds of its points: right after an interruption, too."""
    total, before = 0.0, 0
    for point in curve:
        total += (point.tokens - before) / point.tokens_per_second
        before = point.tokens
    return total


def _in_short(point: TrainingPoint) -> str:
    return (
        f"loss {point.loss:.4g}, L0 {point.l0:.1f}, FVU {point.fvu:.3f}, "
        f"dead {100 * point.dead_share:.1f} %"
    )
