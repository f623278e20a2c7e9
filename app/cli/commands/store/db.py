"""`featurescope db`: the schema of the store's database, and all of it as text."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from app.cli.options import Commands
from app.errors import InvalidRequest

if TYPE_CHECKING:
    from app.settings import Settings


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command and those of its actions."""
    parser = commands.add_parser("db", help="look after the store's database")
    parser.set_defaults(command=run, interrupted="Interrupted.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    upgrade = actions.add_parser("upgrade", help="bring the schema to this version's")
    upgrade.set_defaults(action=_upgrade)
    downgrade = actions.add_parser("downgrade", help="bring the schema back to an older one")
    downgrade.add_argument("revision", help="the revision to go back to, or `base` for none")
    downgrade.add_argument("--yes", action="store_true", help="do not ask before deleting")
    downgrade.set_defaults(action=_downgrade)
    dump = actions.add_parser("dump", help="print the store as text, always in the same order")
    dump.set_defaults(action=_dump)


def run(arguments: argparse.Namespace) -> None:
    """Carry out the action."""
    from app.settings import read_settings

    arguments.action(read_settings(), arguments)


def _upgrade(settings: Settings, _arguments: argparse.Namespace) -> None:
    from app.store.store import open_store

    open_store(settings).close()
    print("The store has this version's schema.")


def _downgrade(settings: Settings, arguments: argparse.Namespace) -> None:
    from app.store.database import connect, downgrade

    if not arguments.yes:
        _ask(arguments.revision)
    downgrade(connect(settings.url), arguments.revision)
    print(f"The store has the schema of revision {arguments.revision}.")


def _ask(revision: str) -> None:
    """Say what going back deletes, and go on only where that is agreed to.

    Raises:
        InvalidRequest: it is not.
    """
    what = (
        "everything in the store"
        if revision == "base"
        else "all that the older schema has no place for, such as presets and trainings"
    )
    print(f"This deletes {what}, for good. Copy the store first (`featurescope export`).")
    if not sys.stdin.isatty() or input("Delete it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise InvalidRequest("Nothing was changed. Say --yes if that is what you want.")


def _dump(settings: Settings, _arguments: argparse.Namespace) -> None:
    from app.store.store import open_store
    from app.store.upkeep.dump import dump

    with open_store(settings, upgrade=False) as store:
        for line in dump(store.engine):
            sys.stdout.write(line if line.endswith("\n") else line + "\n")
