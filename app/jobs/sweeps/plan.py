"""What a sweep trains: a grid, or several from a plan file, as named configurations."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.store.names import check_name
from sae_core.errors import TrainingError
from sae_core.training.config import Normalisation, TrainingConfig
from sae_core.training.methods import method_class

_GRID: dict[str, tuple[type, ...]] = {
    "architectures": (str,),
    "features": (int,),
    "l0": (int, float),
    "seeds": (int,),
}
_NAMES: dict[tuple[type, ...], str] = {
    (int,): "a whole number, such as 3_000_000",
    (int, float): "a number",
    (str,): "words in quotes",
}
_EXAMPLES = {
    "architectures": '["topk"]',
    "features": "[512, 2048]",
    "l0": "[8, 16]",
    "seeds": "[0, 1]",
}
_KINDS: dict[str, tuple[type, ...]] = {
    "tokens": (int,),
    "batch": (int,),
    "dead_after": (int,),
    "learning_rate": (int, float),
    "warmup": (int, float),
    "decay": (int, float),
    "sparsity_warmup": (int, float),
    "downstream": (int, float),
    "normalisation": (str,),
    "precision": (str,),
}
_NEEDED = ("model", "hook_point")
_WORDS = (*_NEEDED, "name", "model_name", "corpus")
_TOP = {*_WORDS, "context", "training", "runs"}


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
    """

    name: str
    model: str
    hook_point: str
    corpus: str
    n_ctx: int | None
    model_name: str | None
    runs: tuple[PlannedRun, ...]

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
        text = path.read_text("utf-8")
        plan = tomllib.loads(text)
    except (OSError, ValueError) as error:  # a TOMLDecodeError and bad UTF-8 are ValueErrors
        raise InvalidRequest(f"The plan {path} cannot be read: {error}.") from error
    try:
        return _plan(path, plan)
    except (TrainingError, ValueError) as error:
        raise InvalidRequest(f"The plan {path} makes no sense: {error}") from error


def _plan(path: Path, plan: Mapping[str, Any]) -> SweepPlan:
    _known(plan, _TOP, "the plan")
    for key in _NEEDED:
        if key not in plan:
            raise InvalidRequest(f"The plan {path} names no {key}: add one.")
    for key in _WORDS:
        if key in plan:
            _typed(key, plan[key], (str,))
    name = plan.get("name", path.resolve().parent.name)
    check_name(name, f"as the name in {path}")
    n_ctx = plan.get("context")
    if n_ctx is not None and (not _is(n_ctx, (int,)) or n_ctx < 2):
        raise ValueError(f"context is {n_ctx!r}: give a whole number of at least 2.")
    common = _training(_table("training", plan.get("training", {})), "[training]")
    configs: list[TrainingConfig] = []
    for part in _grids(plan.get("runs", [])):
        _known(part, set(_GRID) | set(_KINDS), "[[runs]]")
        grid = {key: part.get(key, [0] if key == "seeds" else None) for key in _GRID}
        for key, kinds in _GRID.items():
            values = grid[key]
            if not isinstance(values, list) or not all(_is(v, kinds) for v in values):
                raise ValueError(f"[[runs]] needs a list of {key}, such as {_EXAMPLES[key]}.")
        own = {key: value for key, value in part.items() if key not in _GRID}
        configs += Grid(**grid, training=common | _training(own, "[[runs]]")).configs()
    corpus = plan.get("corpus", "python-stdlib")
    beside = path.parent / corpus
    return SweepPlan(
        name=name,
        model=str(path.parent / plan["model"]),
        hook_point=plan["hook_point"],
        corpus=str(beside) if beside.exists() else corpus,
        n_ctx=n_ctx,
        model_name=plan.get("model_name"),
        runs=name_runs(configs, common),
    )


def _table(key: str, value: object) -> Mapping[str, Any]:
    """A table of a plan."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} is {value!r}: give a table, headed [{key}].")
    return value


def _grids(runs: object) -> list[Mapping[str, Any]]:
    """The grids of a plan."""
    if isinstance(runs, Mapping):
        raise ValueError("[runs] is a table alone: head each grid [[runs]], in double brackets.")
    if not isinstance(runs, list) or not all(isinstance(part, Mapping) for part in runs):
        raise ValueError(f"runs is {runs!r}: give tables, each headed [[runs]].")
    return runs


def _typed(key: str, value: object, kinds: tuple[type, ...]) -> None:
    if not _is(value, kinds):
        raise ValueError(f"{key} is {value!r}: give {_NAMES[kinds]}.")


def _is(value: object, kinds: tuple[type, ...]) -> bool:
    """Whether a value of a plan has one of these types; true is no number."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def _known(given: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise ValueError(
                f"{where} has an unknown {key!r}; known are {', '.join(sorted(known))}."
            )


def _training(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Fields of `TrainingConfig` with the types of their values checked."""
    _known(given, _KINDS, where)
    for key, value in given.items():
        _typed(key, value, _KINDS[key])
    fitting = dict(given)
    if "normalisation" in fitting:
        name = fitting["normalisation"]
        if name not in (known := [str(one) for one in Normalisation]):
            raise ValueError(f"normalisation is {name!r}: use one of {', '.join(known)}.")
        fitting["normalisation"] = Normalisation(name)
    return fitting
