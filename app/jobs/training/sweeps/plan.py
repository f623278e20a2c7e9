"""What a sweep trains: a grid, or several from a plan file, as named configurations."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.jobs.training.sweeps.plan_schema import PlanFile, parse_plan
from app.store.names import check_name
from sae_core.errors import TrainingError
from sae_core.training.config import TrainingConfig
from sae_core.training.methods import method_class


@dataclass(frozen=True)
class PlannedRun:
    """A training of a sweep.

    Attributes:
        name: unique in the sweep; says what is special about it.
        config: how it trains.
    """

    name: str
    config: TrainingConfig


@dataclass(frozen=True)
class SweepPlan:
    """A sweep.

    Attributes:
        name: what pages and addresses call it.
        model: folder of the language model.
        hook_point: where the dictionaries read.
        corpus: `python-stdlib`, a text file or a folder of them.
        n_ctx: positions in a window; None: the default.
        model_name: what pages call the model; None: its folder's name.
        runs: in the order in which they train.
        output_hook_point: whose activation transcoders reconstruct; None: that of `hook_point`.
        skip: whether they have a skip connection.
    """

    name: str
    model: str
    hook_point: str
    corpus: str
    n_ctx: int | None
    model_name: str | None
    runs: tuple[PlannedRun, ...]
    output_hook_point: str | None = None
    skip: bool = False

    def __post_init__(self) -> None:
        check_name(self.name, "with --name")
        if not self.runs:
            raise InvalidRequest("The sweep has no runs: give architectures, sizes and an L0.")


@dataclass(frozen=True)
class Grid:
    """Every combination of these, in this order; the last one changes fastest.

    Attributes:
        l0: values of L0.
        features: sizes of the dictionary.
        architectures: keys of `sae_core.training.methods.methods()`.
        seeds: of the weights.
        training: other fields of `TrainingConfig`.
    """

    l0: Sequence[float]
    features: Sequence[int]
    architectures: Sequence[str]
    seeds: Sequence[int] = (0,)
    training: Mapping[str, Any] = field(default_factory=dict)

    def configs(self) -> Iterable[TrainingConfig]:
        """One configuration for each combination.

        Raises:
            TrainingError: one makes no sense.
        """
        axes = itertools.product(self.seeds, self.l0, self.features, self.architectures)
        for seed, l0, d_sae, architecture in axes:
            grid = {"architecture": architecture, "d_sae": d_sae, "l0": l0, "seed": seed}
            yield TrainingConfig(**{**grid, **self.training})


def name_runs(
    configs: Iterable[TrainingConfig], common: Mapping[str, Any]
) -> tuple[PlannedRun, ...]:
    """Runs named by their architecture, size, L0 and seed, and by what differs from `common`.

    The same configuration is trained once.

    Raises:
        TrainingError: there is no such architecture, or it cannot train one of them.
    """
    usual = replace(TrainingConfig(), **common)
    runs: dict[TrainingConfig, PlannedRun] = {}
    for config in configs:
        method_class(config.architecture).check(config)
        aim = f"l{config.l0:g}" if config.l0 is not None else f"p{config.penalty:g}"
        parts = [config.architecture, str(config.d_sae), aim, f"s{config.seed}"]
        named = {"architecture", "d_sae", "l0", "penalty", "seed"}
        parts += [
            f"{key}={value}"
            for key, value in asdict(config).items()
            if key not in named and value != getattr(usual, key)
        ]
        runs.setdefault(config, PlannedRun("-".join(parts), config))
    return tuple(runs.values())


def read_plan(path: Path) -> SweepPlan:
    """A plan from a TOML file; `model` and a `corpus` that is a path are relative to it.

    `[training]` holds fields of `TrainingConfig` for all runs; each `[[runs]]` is a grid of lists
    `architectures`, `features`, `l0` and `seeds`, with fields of its own beside them.

    Raises:
        InvalidRequest: it cannot be read or makes no sense; the sentence says what.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:  # a TOMLDecodeError and bad UTF-8 are ValueErrors
        raise InvalidRequest(f"The plan {path} cannot be read: {error}.") from error
    try:
        return _plan(path, parse_plan(values))
    except (TrainingError, ValueError) as error:
        raise InvalidRequest(f"The plan {path} makes no sense: {error}") from error


def _plan(path: Path, file: PlanFile) -> SweepPlan:
    """What a file that is well-formed asks for.

    Raises:
        InvalidRequest: the name cannot be part of an address, or nothing is to be trained.
        TrainingError: a configuration cannot be trained.
    """
    name = path.resolve().parent.name if file.name is None else file.name
    check_name(name, f"as the name in {path}")
    common = file.training.model_dump(exclude_unset=True)
    configs = [
        config
        for table in file.runs
        for config in Grid(**table.axes(), training=common | table.training()).configs()
    ]
    beside = path.parent / file.corpus
    return SweepPlan(
        name=name,
        model=str(path.parent / file.model),
        hook_point=file.hook_point,
        corpus=str(beside) if beside.exists() else file.corpus,
        n_ctx=file.context,
        model_name=file.model_name,
        runs=name_runs(configs, common),
        output_hook_point=file.output_hook_point,
        skip=file.skip,
    )
