"""`featurescope forget`: trainings, graphs and evidence that the pages need not show any more."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from app.cli.options import Commands

if TYPE_CHECKING:
    from app.store.tables.runs import TrainingRuns


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "forget",
        help="take a training, the trainings of a sweep, a graph, a circuit, a contrast or an "
        "experiment out of the store",
        description="Folders of dictionaries, checkpoints and results are never touched: "
        "`featurescope sweep --import DIR` brings a sweep back.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("run", nargs="?", metavar="RUN", help="as the pages name it")
    which.add_argument("--sweep", metavar="NAME", help="all runs of this sweep instead")
    which.add_argument(
        "--graph", metavar="MODEL/NAME", help="an attribution graph, with its pins and groups"
    )
    which.add_argument("--circuit", metavar="MODEL/NAME", help="the circuit of a task")
    which.add_argument("--over-training", metavar="NAME", help="a training that was followed")
    which.add_argument("--contrast", metavar="NAME", help="a contrast of two sets of texts")
    which.add_argument("--experiment", metavar="NAME", help="an experiment, with all its texts")
    which.add_argument("--monitor", metavar="NAME", help="a monitor, with its alarms")
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was forgotten.")


def run(arguments: argparse.Namespace) -> None:
    """Take what is named out of the store and print what it was."""
    from app.settings import read_settings
    from app.store.store import open_store

    with open_store(read_settings(), upgrade=False) as store:
        if arguments.graph is not None:
            store.graphs.forget(*_named(arguments.graph))
            print(f"The graph {arguments.graph} is forgotten.")
        elif arguments.circuit is not None:
            store.graphs.circuits.forget(*_named(arguments.circuit))
            print(f"The circuit {arguments.circuit} is forgotten.")
        elif arguments.contrast is not None:
            store.audit.contrasts.forget(arguments.contrast)
            print(f"The contrast {arguments.contrast} is forgotten.")
        elif arguments.experiment is not None:
            store.audit.experiments.forget(arguments.experiment)
            print(f"The experiment {arguments.experiment} is forgotten; its file stays.")
        elif arguments.monitor is not None:
            store.audit.monitors.forget(arguments.monitor)
            print(f"The monitor {arguments.monitor} is forgotten.")
        elif arguments.over_training is not None:
            store.comparisons.moments.forget(arguments.over_training)
            print(f"The training {arguments.over_training} is forgotten.")
        else:
            _forget(store.runs, arguments)


def _named(text: str) -> tuple[str, str]:
    """MODEL/NAME in its two parts."""
    model, _, name = text.partition("/")
    return model, name


def _forget(runs: TrainingRuns, arguments: argparse.Namespace) -> None:
    from app.errors import NotFound

    if arguments.run:
        runs.forget(arguments.run)
        print(f"The run {arguments.run} is forgotten; its files stay.")
    elif n := runs.forget_sweep(arguments.sweep):
        print(f"The sweep {arguments.sweep} is forgotten, runs: {n}; its files stay.")
    else:
        known = ", ".join(runs.sweeps()) or "none"
        raise NotFound(f"There is no sweep {arguments.sweep!r}; there are: {known}.")
