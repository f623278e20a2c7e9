"""Automata of features: `python -m benchmarks.automata [MODEL/DICTIONARY]`, some minutes.

In the store under FEATURESCOPE_HOME: the dictionary's automata are mined from half of the documents
anew, and of three kinds, each named by a token that a step writes, the first automaton is printed
with its figures on the other half, then with what steering says of every step.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from app.cli.main import run
from app.settings import read_settings
from app.store.store import Store, open_store
from sae_core.circuits.automata.mining import MiningSettings, Step
from sae_core.circuits.automata.shapes import Automaton

KINDS = {"a method's first argument": b"self", "attributes": b".", "imports": b"import"}


def shrinkage(steps: Iterable[Step]) -> str:
    """How the lift beyond the tokens differs on the documents that chose nothing."""
    own = [(s.beyond, s.held.beyond) for s in steps if s.held is not None]
    mined, held = np.median(own, axis=0)
    floor = MiningSettings().beyond
    return (
        f"of {len(own)} steps in automata the median lift beyond the tokens is {mined:.2f} mined "
        f"and {held:.2f} held out; that of {sum(h >= floor for _, h in own)} stays at least {floor}"
    )


def first_of(store: Store, target: str, automata: Iterable[Automaton], token: bytes) -> str | None:
    """The name of the first automaton with a step at which this token comes most often."""
    vocabulary = store.vocabulary(store.dictionary(*target.split("/")).model_id)
    wanted = vocabulary.tokens.get(token)
    for automaton in automata:
        if any(step.tokens[0][0] == wanted for step in automaton.steps if step.tokens):
            return automaton.name
    return None


def main() -> None:
    """Print all of it, in one run."""
    os.environ.setdefault("FEATURESCOPE_HOME", str(Path(__file__).parents[1] / ".featurescope"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", default="demo/mlp-4096", metavar="MODEL/DICTIONARY")
    target = parser.parse_args().target
    begin = time.perf_counter()
    if run(["automata", target, "--show", "0"]):
        raise SystemExit(1)
    with open_store(read_settings()) as store:
        mined = store.search.automata.of(store.dictionary(*target.split("/")))
        automata = mined.automata if mined else ()
        names = {kind: first_of(store, target, automata, token) for kind, token in KINDS.items()}
    print(f"mined in {time.perf_counter() - begin:.0f} s; {shrinkage(_all(automata))}")
    for kind, name in names.items():
        print(f"\n{kind}:{' no automaton writes its token' if name is None else ''}", flush=True)
        if name is not None:
            run(["automata", target, "--only", name, "--check", "1"])


def _all(automata: Iterable[Automaton]) -> list[Step]:
    return [step for automaton in automata for step in automaton.steps]


if __name__ == "__main__":
    main()
