"""The command `featurescope`: what can be asked for, and the one place where errors become text.

Commands import what they need when they run, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from app import __version__, cli_commands
from app.cli.commands import (
    add,
    evaluate,
    export,
    forget,
    import_,
    list_,
    remove,
    sweep,
    toy,
    train,
    verify,
)
from app.cli.options import PORT, RESUME, Commands, add_address, add_device, add_dictionary, whole
from sae_core.errors import FeaturescopeError

INTERRUPTED = 130


def main() -> None:
    """Entry point of the command `featurescope`."""
    raise SystemExit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Carry out one command line; the exit code is 0, 1 for a told error, 130 for Ctrl-C."""
    arguments = build_parser().parse_args(words)
    try:
        arguments.command(arguments)
    except FeaturescopeError as error:
        print(f"featurescope: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{arguments.interrupted}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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
    _serving(commands)
    _worker(commands)
    _harvest(commands)
    add.add(commands)
    evaluate.add(commands)
    sweep.add(commands)
    _demo(commands)
    train.add(commands)
    toy.add(commands)
    export.add(commands)
    import_.add(commands)
    list_.add(commands)
    remove.add(commands)
    forget.add(commands)
    verify.add(commands)
    _database(commands)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(command=cli_commands.version, interrupted="Interrupted.")
    return parser


def _serving(commands: Commands[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser("serve", help="serve the pages")
    add_address(serve)
    serve.set_defaults(command=cli_commands.serve, interrupted="Stopped.")


def _worker(commands: Commands[argparse.ArgumentParser]) -> None:
    worker = commands.add_parser(
        "worker", help="run the process that holds the model, for pages served elsewhere"
    )
    worker.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    worker.add_argument("--port", type=PORT, default=8001, help="port (default: %(default)s)")
    worker.add_argument(
        "--allow-network",
        action="store_true",
        help="agree to an address that other machines reach; there is no login",
    )
    add_device(worker)
    worker.set_defaults(command=cli_commands.worker, interrupted="Stopped.")


def _harvest(commands: Commands[argparse.ArgumentParser]) -> None:
    harvest = commands.add_parser("harvest", help="read a corpus and fill the store")
    add_dictionary(harvest)
    harvest.add_argument(
        "--ablate",
        action="store_true",
        help="also compute the ablation effects of each feature's twenty strongest contexts",
    )
    harvest.add_argument(
        "--replace",
        action="store_true",
        help="let another model or dictionary of the same name go",
    )
    harvest.set_defaults(command=cli_commands.harvest, interrupted=RESUME)


def _demo(commands: Commands[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help="harvest the bundled demo once, then serve it")
    add_address(demo)
    add_device(demo)
    demo.add_argument("--no-serve", action="store_true", help="only harvest it")
    demo.set_defaults(command=cli_commands.demo, interrupted="Stopped.")
    train = commands.add_parser(
        "demo-train", help="make the bundled demo anew: tokenizer, model and dictionary"
    )
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    train.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")
    add_device(train)
    train.set_defaults(command=cli_commands.demo_train, interrupted=RESUME)


def _database(commands: Commands[argparse.ArgumentParser]) -> None:
    database = commands.add_parser("db", help="look after the store's database")
    actions = database.add_subparsers(title="actions", metavar="ACTION", required=True)
    upgrade = actions.add_parser("upgrade", help="bring the schema to this version's")
    upgrade.set_defaults(command=cli_commands.db_upgrade, interrupted="Interrupted.")
    downgrade = actions.add_parser("downgrade", help="bring the schema back to an older one")
    downgrade.add_argument("revision", help="the revision to go back to, or `base` for none")
    downgrade.set_defaults(command=cli_commands.db_downgrade, interrupted="Interrupted.")
    dump = actions.add_parser("dump", help="print the store as text, always in the same order")
    dump.set_defaults(command=cli_commands.db_dump, interrupted="Interrupted.")
