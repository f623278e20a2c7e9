"""`featurescope remove`: a dictionary, a model, or what is left of a harvest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from app.cli.options import Commands

if TYPE_CHECKING:
    from app.jobs.harvest.folders import UnfinishedHarvest
    from app.store.upkeep.removal import Removed


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "remove",
        help="take a dictionary, a model or an unfinished harvest out of the store",
        description="Files of models, dictionaries and texts are never touched.",
    )
    parser.add_argument(
        "target",
        metavar="MODEL[/DICTIONARY]",
        help="as the pages name them; or the folder name of an unfinished harvest",
    )
    parser.add_argument(
        "--harvest", action="store_true", help="only its unfinished harvest: progress and files"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was removed.")


def run(arguments: argparse.Namespace) -> None:
    """Print what would go, ask, and remove it."""
    from app.cli.targets import split_target
    from app.jobs.harvest.folders import remove_harvest, unfinished_harvests
    from app.settings import read_settings
    from app.store.search.meaning_folder import clear_unused
    from app.store.store import open_store
    from app.store.upkeep.removal import remove

    if "/" in arguments.target:
        split_target(arguments.target)  # `demo/` must not stand for all of the model
    settings = read_settings()
    with open_store(settings, upgrade=False) as store:
        model, _, dictionary = arguments.target.partition("/")
        folders = _folders(unfinished_harvests(settings.home), arguments.target)
        reported = [
            progress
            for progress in store.progress.all()
            if progress.model == model and dictionary in ("", progress.dictionary)
        ]
        by_folder = any(folder.folder.name == arguments.target for folder in folders)
        # Say what would go, and ask.
        if arguments.harvest or by_folder:
            _check_harvest(arguments.target, bool(folders or reported))
            question = f"remove the unfinished harvest of {arguments.target}{_room(folders)}"
        else:
            would = remove(store.engine, model, dictionary or None, rehearse=True)
            question = f"remove {_in_words(would, arguments.target)}{_room(folders)}"
        if not (arguments.yes or _agreed(question)):
            print("Nothing was removed.")
            return
        # Remove: unfinished harvests first, so that none can publish what is removed after it.
        for folder in folders:
            remove_harvest(folder)
        for progress in reported:
            store.progress.clear(progress.model, progress.dictionary)
        if not (arguments.harvest or by_folder):
            before = store.catalogue()
            remove(store.engine, model, dictionary or None)
            clear_unused(settings.home, before, store.catalogue())
    print(f"Done: {question.replace('remove', 'removed', 1)}.")


def _folders(unfinished: list[UnfinishedHarvest], target: str) -> list[UnfinishedHarvest]:
    """Those of a model, of a dictionary, or of that name."""
    from app.errors import InvalidRequest

    model, _, dictionary = target.partition("/")
    own = [
        folder
        for folder in unfinished
        if folder.folder.name == target
        or (folder.title == target if dictionary else folder.title.startswith(f"{model}/"))
    ]
    for folder in own:
        if folder.running:
            raise InvalidRequest(
                f"{folder.title or folder.folder.name} is being harvested right now: stop that "
                "process first, or wait for it."
            )
    return own


def _check_harvest(target: str, exists: bool) -> None:
    from app.errors import NotFound

    if not exists:
        raise NotFound(
            f"There is no unfinished harvest of {target!r}. `featurescope list` names them."
        )


def _room(folders: list[UnfinishedHarvest]) -> str:
    from app.rendering.numbers import size

    if not folders:
        return ""
    return f", {size(sum(folder.n_bytes for folder in folders))} of unfinished harvests"


def _in_words(would: Removed, target: str) -> str:
    from app.rendering.numbers import count
    from app.rendering.tokens import printable

    parts = [f"{count(would.features)} features"]
    if would.presets:
        parts.append(f"{count(would.presets)} steering presets")
    parts.append(f"{count(would.windows)} windows that nobody else refers to")
    if would.corpora:
        parts.append(f"the record of {printable(', '.join(would.corpora))}")
    names = ", ".join(would.dictionaries)
    what = names if "/" in target else f"the model {target} ({names or 'no dictionary'})"
    stay = (
        f" (the labels of {count(would.labels)} features stay, for when the same weights come back)"
        if would.labels
        else ""
    )
    return f"{printable(what)}: {', '.join(parts)}{stay}"


def _agreed(question: str) -> bool:
    """Ask on the terminal; without one, the answer is no."""
    import sys

    from app.errors import InvalidRequest

    if not sys.stdin.isatty():
        raise InvalidRequest(f"This would {question}. Give --yes to agree.")
    return input(f"This will {question}. Go on? [y/N] ").strip().lower() in ("y", "yes")
