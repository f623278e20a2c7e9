"""`featurescope sweep`: many dictionaries trained and compared."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.cli.options import Commands, add_device, tokens, whole
from app.errors import InvalidRequest
from sae_core.errors import DiskError

if TYPE_CHECKING:
    from app.jobs.training.sweeps.plan import SweepPlan

T = TypeVar("T")

_GRID: dict[str, Any] = {
    "corpus": "python-stdlib",
    "architectures": ("topk", "batchtopk"),
    "l0": (8.0, 16.0, 32.0),
    "features": (4096,),
    "seeds": (0,),
    "tokens": 3_000_000,
    "batch": 2048,
}
"""What a grid has where it was not given. The parser knows no defaults, so that with a plan even
an option given as its default is seen."""
_PLANNED = ("model", "hook_point", "output_hook_point", "skip", "context", "name", *_GRID)
"""Options that a plan's file gives instead."""


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "sweep",
        help="train and compare many dictionaries: architectures, sparsities, sizes, seeds",
        description="Train every combination, evaluate each on held-out text, and compare: "
        "featurescope sweep --model DIR --hook-point HOOK_POINT --out DIR, or --plan FILE --out "
        "DIR. Killed at any time, the same command goes on.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--out", type=Path, metavar="DIR", help="train into this folder")
    which.add_argument(
        "--show", type=Path, metavar="DIR", help="print the results there, and draw sweep.svg"
    )
    which.add_argument(
        "--import",
        dest="bring",
        type=Path,
        metavar="DIR",
        help="put the results there into the store, so that the pages show them",
    )
    parser.add_argument(
        "--plan", type=Path, metavar="FILE", help="a TOML file with uneven grids (docs/sweeps.md)"
    )
    parser.add_argument("--model", metavar="DIR", help="folder of a Hugging Face model")
    parser.add_argument("--hook-point", help="such as blocks.0.mlp.hook_post")
    parser.add_argument(
        "--output-hook-point", help="train transcoders: what to reconstruct (default: what is read)"
    )
    parser.add_argument(
        "--skip",
        action="store_true",
        default=None,
        help="transcoders' linear map from what is read to what is reconstructed",
    )
    parser.add_argument(
        "--corpus",
        metavar="TEXT",
        help="a text file, a folder of them, or python-stdlib (default)",
    )
    parser.add_argument("--context", type=whole(2), help="tokens in a context (default: 128)")
    parser.add_argument(
        "--architectures",
        type=_listed(str),
        metavar="NAMES",
        help="with commas between (default: topk,batchtopk)",
    )
    parser.add_argument("--l0", type=_listed(_sparsity), help="default: 8,16,32")
    parser.add_argument("--features", type=_listed(whole(1)), help="sizes (default: 4096)")
    parser.add_argument("--seeds", type=_listed(whole(0, 2**31 - 1)), help="default: 0")
    parser.add_argument("--tokens", type=tokens, help="a run (default: 3M)")
    parser.add_argument("--batch", type=whole(1), help="default: 2048")
    parser.add_argument("--name", help="what the pages call the sweep (default: its folder)")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="keep activations there, so that the model runs once for all (2 bytes a coordinate)",
    )
    parser.add_argument("--keep-weights", action="store_true", help="keep the dictionaries, too")
    add_device(parser)
    parser.set_defaults(
        command=run,
        interrupted="Interrupted. The same command goes on from the last checkpoint; finished "
        "runs stay.",
    )


def _listed(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """What reads values with commas between."""

    def several(words: str) -> tuple[T, ...]:
        return tuple(read(word.strip()) for word in words.split(","))

    return several


def _sparsity(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{word!r} is no number of features above 0")
    return value


def run(arguments: argparse.Namespace) -> None:
    """Train the runs of a plan, or show or import the results of one."""
    from app.settings import read_settings

    if arguments.show:
        _show(arguments.show)
    elif arguments.bring:
        from app.jobs.training.sweeps.records import import_sweep
        from app.store.store import open_store

        with open_store(read_settings()) as store:
            records = import_sweep(store, arguments.bring)
        print(f"The sweep {records[0].sweep} is in the store, runs: {len(records)}.")
    else:
        from app.jobs.training.sweeps.run import run_sweep

        run_sweep(
            read_settings(device=arguments.device),
            plan(arguments),
            arguments.out,
            arguments.cache,
            arguments.keep_weights,
        )
        _show(arguments.out)


def _show(folder: Path) -> None:
    from app.jobs.training.sweeps.records import read_records
    from app.pages.runs.sweeps.report import PICTURE, markdown, sweep_rows, write_picture

    table = sweep_rows(read_records(folder), folder)
    print(markdown(table), end="")
    if not table:
        return
    try:
        print(f"\nThe plots are in {write_picture(folder, table)}.")
    except DiskError as error:  # the table is what matters
        reason = error.__cause__
        why = getattr(reason, "strerror", None) or reason
        print(f"\nThe plots cannot be drawn into {folder / PICTURE}: {why}.", file=sys.stderr)


def plan(arguments: argparse.Namespace) -> SweepPlan:
    """What a command line asks for: a plan's file, or a grid with defaults for what is not given.

    Raises:
        InvalidRequest: it says too much or too little, or the plan makes no sense.
        TrainingError: what is asked for cannot be trained.
    """
    from app.jobs.training.sweeps.plan import Grid, SweepPlan, name_runs, read_plan

    if arguments.plan:
        given = [name for name in _PLANNED if getattr(arguments, name) is not None]
        if given:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InvalidRequest(
                f"The plan {arguments.plan} says what is trained: leave {options} out, or write "
                "it there."
            )
        return read_plan(arguments.plan)
    if not arguments.model or not arguments.hook_point:
        raise InvalidRequest("Give a --plan, or a --model and a --hook-point.")
    values = _GRID | {name: value for name in _GRID if (value := getattr(arguments, name))}
    common = {name: values[name] for name in ("tokens", "batch")}
    axes = {name: values[name] for name in ("l0", "features", "architectures", "seeds")}
    grid = Grid(**axes, training=common)
    return SweepPlan(
        name=arguments.name or arguments.out.resolve().name,
        model=arguments.model,
        hook_point=arguments.hook_point,
        corpus=values["corpus"],
        n_ctx=arguments.context,
        model_name=None,
        runs=name_runs(grid.configs(), common),
        output_hook_point=arguments.output_hook_point,
        skip=bool(arguments.skip),
    )
