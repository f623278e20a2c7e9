"""`featurescope automata`: features that write tokens on which others fire next."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from app.cli.options import Commands, add_device, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from app.settings import Settings
    from app.store.store import Store
    from app.store.types.automata import MinedAutomata
    from app.store.types.catalogue import DictionaryView
    from sae_core.circuits.automata.mining import Step


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "automata",
        help="find features that write tokens on which other features fire next",
        description="Mines half of a dictionary's kept documents for finite-state automata: steps "
        "from a feature whose logits write a token to one that fires on it, with support and lift "
        "against chance. Measures them on the other half, and keeps them for the page "
        "/d/MODEL/DICTIONARY/automata. With --check the steps of the first automata are held "
        "against the model by steering.",
    )
    parser.add_argument("target", metavar="MODEL/DICTIONARY", help="as the pages name them")
    parser.add_argument(
        "--support",
        type=whole(1),
        default=30,
        metavar="N",
        help="fewest times that a step happens (default: 30)",
    )
    parser.add_argument(
        "--show", type=whole(0), default=10, metavar="N", help="automata to print (default: 10)"
    )
    parser.add_argument(
        "--check",
        type=whole(0),
        default=0,
        metavar="N",
        help="check every step of the first N automata by steering (default: 0)",
    )
    parser.add_argument(
        "--only", metavar="NAME", help="of what is stored already print, and check, this automaton"
    )
    add_device(parser)
    parser.set_defaults(
        command=run, interrupted="Interrupted; what was mined before, and what was checked, stays."
    )


def run(arguments: argparse.Namespace) -> None:
    """Mine, print, and check."""
    from app.cli.targets import split_target
    from app.jobs.circuits.automata import mine_automata
    from app.settings import read_settings
    from app.store.store import open_store
    from sae_core.circuits.automata.mining import MiningSettings

    settings = read_settings(device=arguments.device)
    with open_store(settings) as store:
        view = store.dictionary(*split_target(arguments.target))
        if arguments.only is None:
            mine_automata(store, view, MiningSettings(support=arguments.support))
        mined = _chosen(store, view, arguments.only)
        if arguments.only is None:
            print(_heading(view, mined))
        n = 1 if arguments.only else arguments.check
        checked = mined.automata[:n] if arguments.check else ()
        _check(settings, store, view, [step for made in checked for step in made.steps])
        _say(store, view, mined, 1 if arguments.only else arguments.show)


def _chosen(store: Store, view: DictionaryView, name: str | None) -> MinedAutomata:
    from dataclasses import replace

    from app.errors import NotFound

    mined = store.search.automata.of(view)
    chosen = [a for a in (mined.automata if mined else ()) if name in (None, a.name)]
    if mined is None or (name is not None and not chosen):
        raise NotFound(f"{view.title} has no automaton {name!r:.80}.")
    return replace(mined, automata=tuple(chosen))


def _heading(view: DictionaryView, mined: MinedAutomata) -> str:
    numbers = mined.parameters
    return (
        f"{len(mined.automata):,} automata of {view.title}, of {numbers['steps']:,} steps: "
        f"{numbers['supported']:,} pairs with support among {numbers['tested']:,} with the "
        f"mechanism, in {numbers['n_tokens']:,} tokens of {numbers['n_documents']:,} documents."
        f"{_held_out(numbers)}"
    )


def _held_out(numbers: Mapping[str, Any]) -> str:
    """How many steps hold on the documents that were not mined."""
    steps, documents = numbers["steps"], numbers.get("held_documents", 0)
    if not steps or not documents:
        return ""
    return (
        f" On {documents:,} other documents the lift of {numbers['held_above']:,} "
        f"({numbers['held_above'] / steps:.1%}) stays above 1, and beyond the tokens that of "
        f"{numbers['held_beyond']:,} ({numbers['held_beyond'] / steps:.1%})."
    )


def _check(settings: Settings, store: Store, view: DictionaryView, steps: Sequence[Step]) -> None:
    """Check steps with the model in this process."""
    from tqdm import tqdm

    from app.jobs.circuits.automata import check_steps
    from app.worker.process.jobs.registry import TorchWorkbench
    from app.worker.process.limits import Limits

    bench = TorchWorkbench(settings.device, settings.worker_threads, Limits())
    if steps:
        bench.prepare()
    for _ in tqdm(
        check_steps(store, view, steps, bench.work),
        desc="steering",
        total=len(steps),
        disable=not steps,
    ):
        pass


def _say(store: Store, view: DictionaryView, mined: MinedAutomata, most: int) -> None:
    """The first automata with their steps, in the terminal."""
    from app.cli.commands.studying.graph import typeset
    from app.pages.dictionary.automata.view import automaton_page

    for automaton in mined.automata[:most]:
        page = automaton_page(store, typeset(store)(view), view, automaton)
        print(f"{page.name}{' (recurrent)' if automaton.recurrent else ''}")
        for node in page.nodes:
            print(f"  {node.index}: {node.words}")
        for row in page.rows:
            print(f"    {row.sentence}")
            if row.held:
                print(f"      held out: {row.held}")
            if row.checked:
                print(f"      {row.checked}")
