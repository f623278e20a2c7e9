"""Training: from a model, a hook point and a text to a dictionary's folder and a stored run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Never

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from app.errors import InvalidRequest
from app.jobs.harvested.evaluate import EVALUATION_TOKENS
from app.jobs.source import TRAINING_RECORD, evaluation_windows, open_model, open_windows
from app.jobs.training.outcome import (
    evaluate_outcome,
    holds_dictionary,
    outcome_checksum,
    save_outcome,
)
from app.jobs.training.run_reporter import RunReporter, output_settings
from app.settings import Settings
from app.store.store import open_store
from sae_core.dictionaries.dictionary import Output, TrainedOn
from sae_core.errors import DiskError, TrainingError
from sae_core.evaluation.figures import Evaluation
from sae_core.files.atomic import atomic_file
from sae_core.language_model.model import LanguageModel
from sae_core.text.tokenized import Windows
from sae_core.training.config import TrainingConfig, TrainingPoint
from sae_core.training.data.activation_cache import CachedPools
from sae_core.training.data.downstream import DownstreamLoss
from sae_core.training.data.ends import output_at
from sae_core.training.data.pools import PoolSource, TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.methods import method_class
from sae_core.training.state import check_progress, run_identity
from sae_core.training.trainer import Trained
from sae_core.training.trainer import train as train_dictionary

CHECKPOINT = "training.ckpt"


@dataclass(frozen=True)
class TrainingSpec:
    """What is trained, as the command names it.

    Attributes:
        model: folder of a Hugging Face model.
        hook_point: of that model: where the dictionary reads.
        corpus: `python-stdlib`, a text file or a folder of them.
        out: folder to write.
        config: how to train.
        n_ctx: positions in a window; None: 128, or the model's context where that is shorter.
        cache: folder in which activations are kept for other trainings; None: they are not.
        name: what pages call the run; None: the folder's name.
        command: the command line, for the page.
        prepend_bos: whether BOS opens each context; None: as the model's own tokenizer does with
            plain text.
        evaluation_tokens: how many the figures are made of.
        output_hook_point: whose activation a transcoder reconstructs; None: that of `hook_point`.
        skip: whether a linear map of what is read is part of the reconstruction.
    """

    model: str
    hook_point: str
    corpus: str
    out: Path
    config: TrainingConfig
    n_ctx: int | None = None
    cache: Path | None = None
    name: str | None = None
    command: str = ""
    prepend_bos: bool | None = None
    evaluation_tokens: int = EVALUATION_TOKENS
    output_hook_point: str | None = None
    skip: bool = False

    @property
    def title(self) -> str:
        """What pages call the run."""
        return self.name or self.out.resolve().name


@dataclass(frozen=True)
class _Parts:
    """The opened parts of a training, and the hash of all that decides its result."""

    model: LanguageModel
    windows: Windows
    stream: PoolStream
    downstream: DownstreamLoss | None
    identity: dict[str, str]
    output: Output | None


def train(settings: Settings, spec: TrainingSpec) -> str:
    """Train a dictionary, evaluate it and write its folder; what is trained already stays.

    The folder holds `cfg.json` and `sae_weights.safetensors`, and, written last, `training.json`:
    settings, curve and figures. Until then `training.ckpt` lies beside them, from which the same
    command goes on.

    Returns:
        A sentence on what there is now.

    Raises:
        FeaturescopeError: something is missing or does not fit; what was trained so far stays.
    """
    with _alone(spec.out):
        # Open everything, and stop where this very training has ended or the folder is another's.
        parts = _open(settings, spec)
        if _is_trained(spec.out, parts.identity):
            return f"{spec.out} is trained already."
        check_progress(spec.out / CHECKPOINT, parts.identity)
        # Train, evaluate what lies in the folder, and report both to the store.
        held_out = bool(parts.windows.corpus.held_out.any())
        about = {
            "corpus": spec.corpus,
            "held_out": held_out,
            "n_ctx": parts.windows.n_ctx,
            "learning_rate": method_class(spec.config.architecture).peak(spec.config),
            "command": spec.command,
            "pages": _pages(spec),
        } | output_settings(parts.output)
        with (
            open_store(settings) as store,
            RunReporter(
                store, spec.title, spec.config, parts.model.name, spec.hook_point, about
            ) as reporter,
        ):
            trained = _train(spec, parts, reporter.on_point)
            trained.dictionary.trained_on = TrainedOn(
                parts.model.vocabulary.bos is not None, parts.windows.n_ctx
            )
            save_outcome(trained.dictionary, spec.out, parts.model.name)
            result, on_blocks = _evaluate(spec, parts)
            checksum = outcome_checksum(spec.out)
            reporter.finish(result.figures(), str(spec.out.resolve()), checksum)
        # The record goes last: a folder with one is finished.
        _write_record(spec, parts, trained, result)
        (spec.out / CHECKPOINT).unlink(missing_ok=True)
        return _outcome(spec, held_out, result, on_blocks)


def _stream(
    model: LanguageModel, spec: TrainingSpec, windows: Windows, output: Output | None
) -> PoolStream:
    """Training batches of a model's activations, kept in the cache's folder where one is given."""
    written = None if output is None else output.hook_point
    pools: PoolSource = TextPools(
        model, spec.hook_point, windows, spec.config.seed, output_hook_point=written
    )
    pools = pools if spec.cache is None else CachedPools(pools, spec.cache)
    return PoolStream(pools, spec.config.batch)


def _open(settings: Settings, spec: TrainingSpec) -> _Parts:
    config = spec.config
    method_class(config.architecture).check(config)
    model = open_model(settings, spec.model)
    model = model.opening(model.own_opening if spec.prepend_bos is None else spec.prepend_bos)
    output = output_at(model, spec.hook_point, spec.output_hook_point, spec.skip)
    method_class(config.architecture, output).check_output(output)
    if config.downstream and output is not None and output.layers > 1:
        raise TrainingError(
            "Cross-layer transcoders are trained to reconstruct alone: leave --downstream out."
        )
    windows = open_windows(settings, model, spec.corpus, spec.n_ctx)
    stream = _stream(model, spec, windows, output)
    downstream = None
    if config.downstream:
        downstream = DownstreamLoss(
            model, spec.hook_point, windows, config.batch, config.seed, spec.output_hook_point
        )
    identity = run_identity(
        config, stream, spec.hook_point, downstream.identity if downstream else None, output
    )
    return _Parts(model, windows, stream, downstream, identity, output)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Within the block no other process trains into the folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        path = out / "training.lock"
        path.touch()
    except OSError as error:
        raise DiskError(
            f"{out} cannot be written ({error.strerror}): choose another --out."
        ) from error
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TrainingError(
            f"Another process trains into {out} right now: wait for it, or stop it first."
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _is_trained(out: Path, identity: dict[str, str]) -> bool:
    """Whether the folder holds this very training, finished.

    Raises:
        InvalidRequest: it holds another dictionary.
    """
    if (out / TRAINING_RECORD).exists():
        try:
            trained = json.loads((out / TRAINING_RECORD).read_text("utf-8"))["identity"]
        except (ValueError, KeyError, TypeError):
            trained = None
        if trained == identity:
            return True
    elif not holds_dictionary(out) or (out / CHECKPOINT).exists():
        return False
    raise InvalidRequest(f"{out} holds another dictionary already: choose another --out.")


def _train(spec: TrainingSpec, parts: _Parts, on_point: Callable[[TrainingPoint], None]) -> Trained:
    config = spec.config
    bar: tqdm[Never] = tqdm(
        total=config.steps * config.batch,
        desc=f"training {spec.title}",
        unit="tok",
        unit_scale=True,
    )

    def show(point: TrainingPoint) -> None:
        on_point(point)
        if bar.n == 0:  # what an earlier process trained says nothing of this one's pace
            bar.initial = point.tokens
        bar.update(point.tokens - bar.n)
        bar.set_postfix(
            loss=f"{point.loss:.4g}",
            L0=f"{point.l0:.1f}",
            FVU=f"{point.fvu:.3f}",
            dead=f"{point.dead_share:.1%}",
            tok_s=f"{point.tokens_per_second:,.0f}",
        )

    with bar:
        return train_dictionary(
            parts.stream,
            config,
            spec.hook_point,
            spec.out / CHECKPOINT,
            show,
            parts.downstream,
            output=parts.output,
        )


def _evaluate(spec: TrainingSpec, parts: _Parts) -> tuple[Evaluation, str]:
    """Figures of the dictionary as it lies in its folder, on held-out text."""
    numbers = evaluation_windows(parts.windows, spec.evaluation_tokens, spec.config.seed)
    bar: tqdm[Never] = tqdm(total=len(numbers), desc="evaluating", unit="win")

    def show(done: int) -> None:
        bar.update(done - bar.n)

    with bar:
        return evaluate_outcome(parts.model, spec.out, parts.windows, numbers, show)


def _write_record(spec: TrainingSpec, parts: _Parts, trained: Trained, result: Evaluation) -> None:
    """Settings, curve and figures; the same training gives the same bytes."""
    corpus = parts.windows.corpus
    curve = [asdict(point) for point in trained.curve]
    for point in curve:
        del point["tokens_per_second"]
    record: dict[str, Any] = {
        "identity": parts.identity,
        "model": {"name": parts.model.name, "checksum": parts.model.checksum},
        "hook_point": spec.hook_point,
        **output_settings(parts.output),
        "corpus": {"source": corpus.source, "fingerprint": corpus.fingerprint},
        "n_ctx": parts.windows.n_ctx,
        "config": asdict(spec.config),
        "torch": torch.__version__,
        "checksum": outcome_checksum(spec.out),
        "evaluation": result.figures(),
        "curve": curve,
    }
    with atomic_file(spec.out / TRAINING_RECORD) as draft:
        draft.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _outcome(spec: TrainingSpec, held_out: bool, result: Evaluation, on_blocks: str) -> str:
    text = "held-out text" if held_out else "the training text (none is held out)"
    return (
        f"{spec.out} is trained. On {text}: L0 {result.l0:.1f}, FVU {result.fvu:.4f}, "
        f"{result.l_recon - result.l_clean:.4f} nats/token over clean ({result.l_clean:.4f}), "
        f"{result.dead_share:.1%} dead. {on_blocks}".rstrip()
        + f"\nFor its pages: {_pages(spec)}"
    )


def _pages(spec: TrainingSpec) -> str:
    """The command that makes the pages of the dictionary's features."""
    sae = spec.out / "W_enc_0.safetensors" if "*" in spec.hook_point else spec.out
    words = ["--model", spec.model, "--sae", str(sae), "--corpus", spec.corpus]
    if spec.n_ctx is not None:
        words += ["--context", str(spec.n_ctx)]
    return f"featurescope add {shlex.join(words)}"
