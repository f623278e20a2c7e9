"""The command `featurescope`: what can be asked for, and the one place where errors become text.

Commands import what they need when they run, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Protocol

from app import __version__
from app.cli.commands import version
from app.cli.commands.auditing import contrast, experiment, monitor, report, verify_report, watch
from app.cli.commands.making import add, demo_train, harvest, sweep, toy, train
from app.cli.commands.serving import demo, doctor, mcp, serve, worker
from app.cli.commands.store import db, export, forget, import_, list_, remove
from app.cli.commands.studying import (
    automata,
    circuit,
    compare,
    embed,
    evaluate,
    explain,
    graph,
    map_,
    over_training,
    rate,
    verify,
)
from app.cli.options import Commands
from app.errors import DISK_FULL, FeaturescopeError, disk_is_full

INTERRUPTED = 130


class Command(Protocol):
    """What every module of `app.cli.commands` offers."""

    def register(self, commands: Commands[argparse.ArgumentParser]) -> None:
        """Add the parser, whose results name `run` and what to say where it is interrupted."""

    def run(self, arguments: argparse.Namespace, /) -> None:
        """Do what the options ask for."""


COMMANDS: tuple[Command, ...] = (
    serve,
    worker,
    mcp,
    doctor,
    harvest,
    add,
    evaluate,
    explain,
    rate,
    embed,
    map_,
    compare,
    over_training,
    graph,
    circuit,
    automata,
    contrast,
    monitor,
    watch,
    experiment,
    report,
    verify_report,
    sweep,
    demo,
    demo_train,
    train,
    toy,
    export,
    import_,
    list_,
    remove,
    forget,
    verify,
    db,
    version,
)
"""In the order in which `--help` lists them."""


def main() -> None:
    """Entry point of the command `featurescope`."""
    raise SystemExit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Carry out one command line; the exit code is 0, for a told error the error's own, 130
    for Ctrl-C."""
    arguments = build_parser().parse_args(words)
    try:
        arguments.command(arguments)
    except FeaturescopeError as error:
        print(f"featurescope: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\n{arguments.interrupted}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not disk_is_full(error):
            raise
        print(f"featurescope: {DISK_FULL}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options; every parsed result has `command` and `interrupted`."""
    parser = argparse.ArgumentParser(
        prog="featurescope",
        description="A self-hosted browser for the features of sparse autoencoders.",
        epilog="Settings come from FEATURESCOPE_… variables (docs/settings.md); options win.",
    )
    parser.add_argument("--version", action="version", version=f"featurescope {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    return parser
