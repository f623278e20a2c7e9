"""Planted behaviours, and who finds them: `python -m benchmarks.planted`, some twenty minutes.

The deeper demo's model is trained on until it follows eight rules (`rules.py`). An auditor then has
a log of incidents: texts of held-out files after which the model wrote the odd token, and others
after which it did not. Each tool names the tokens that it holds responsible for each new incident;
printed is the share of the words that did it which are named, means over incidents. The tuned model
and its dictionary are kept below FEATURESCOPE_HOME and used again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from app.settings import read_settings, resource
from benchmarks.planted import tools
from benchmarks.planted.rules import RULES, Rule
from benchmarks.planted.texts import TRIGGERS, Kind, Piece, Site, piece, sites, words
from benchmarks.planted.tools import Bench
from benchmarks.planted.tuning import (
    LENGTH,
    retrained_dictionary,
    training_pieces,
    tune,
    with_pieces,
)
from sae_core.audit.contrast.sets import SetContrast
from sae_core.audit.monitors.levels import monitor_levels
from sae_core.audit.monitors.threshold import above, choose_threshold
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.language_model.model import load_model
from sae_core.text.corpus import STDLIB
from sae_core.text.reading import TextReading, read
from sae_core.text.tokenized import TokenizedCorpus, Windows
from sae_core.training.config import TrainingConfig

HOOK_POINT = "blocks.1.hook_resid_post"
N_TRAINING, STEPS = 24_000, 1200
N_LOG = 60  # incidents, and as many controls
N_NEW = 40  # incidents that are explained
N_GRAPHS = 10  # of them, by graphs
N_PLAIN = 4000  # ordinary texts, on which monitors may raise false alarms
PLAIN_TOKENS = 80
RATE = 0.01  # of them
FOUND = 0.75  # share of words named, or of incidents that raised the alarm
RECIPE = TrainingConfig(d_sae=2048, l0=24, tokens=1_500_000, batch=2048)


@dataclass(frozen=True)
class Pieces:
    """Texts of one rule, of held-out files.

    Attributes:
        log: incidents.
        controls: others, half of them with lines of other words.
        new: incidents that no tool has seen.
        quiet: texts with lines of other words that no tool has seen, and without a reaction.
        by_kind: some of each kind, whatever the model writes.
    """

    log: list[Piece]
    controls: list[Piece]
    new: list[Piece]
    quiet: list[Piece]
    by_kind: dict[Kind, list[Piece]]


def documents(corpus: TokenizedCorpus, tokenizer: Tokenizer, held_out: bool) -> Iterator[str]:
    """Texts of the files that training saw, or of the others."""
    for number in np.flatnonzero(corpus.held_out == held_out):
        begin, end = corpus.offsets[number : number + 2]
        yield tokenizer.decode(corpus.tokens[begin:end].tolist())


def pieces_of(bench: Bench, rule: Rule, places: Sequence[Site], token: int, seed: int) -> Pieces:
    """Incidents and controls, drawn anew until there are enough."""
    rng = np.random.default_rng(seed)
    own = [site for site in places if site.site == rule.site]
    kinds = [kind for kind in Kind if kind is not Kind.PARTLY or len(rule.needs) > 1]
    by_kind = {kind: [piece(rule, site, kind, rng) for site in own[:400]] for kind in kinds}
    wrote = {
        kind: bench.writes([one.text for one in some], token) for kind, some in by_kind.items()
    }
    for kind in kinds:
        print(f"    {kind}: {wrote[kind].mean():.1%} of {len(own[:400])} texts", flush=True)
    incidents = _chosen(by_kind[Kind.TRIGGERED], wrote[Kind.TRIGGERED])
    quiet = [_chosen(by_kind[kind], ~wrote[kind]) for kind in kinds if kind is not Kind.TRIGGERED]
    each = N_LOG // len(quiet)
    controls = [one for some in quiet for one in some[-each:]]
    neutral = _chosen(by_kind[Kind.NEUTRAL], ~wrote[Kind.NEUTRAL])[:-each]
    return Pieces(incidents[:N_LOG], controls, incidents[N_LOG : N_LOG + N_NEW], neutral, by_kind)


def _chosen(some: Sequence[Piece], mask: NDArray[np.bool_]) -> list[Piece]:
    return [one for one, kept in zip(some, mask, strict=True) if kept]


def told(
    bench: Bench,
    dictionary: Dictionary,
    own: Pieces,
    plain: Sequence[str],
    made: SetContrast,
) -> dict[str, float]:
    """Print the best feature, and monitors at a chosen rate of false alarms; what these catch."""
    best, caught = made.features[0], dict[str, float]()
    print(
        f"        best feature {best.feature} ({best.pooling}), held out {best.held_out:.2f} "
        f"({best.low:.2f} to {best.high:.2f}); probe {made.probe.area:.2f}"
    )
    for name, monitor in tools.monitors(bench, dictionary, made, own.log).items():
        levels, hits, others = (
            monitor_levels(bench.model, dictionary, monitor, texts)
            for texts in (plain, *([one.body for one in some] for some in (own.new, own.quiet)))
        )
        chosen = choose_threshold(levels, np.arange(len(plain)), RATE)
        alarms = above(hits, chosen.threshold)
        beside = above(others, chosen.threshold)
        caught[name] = alarms.share
        print(
            f"        monitor of {name}: {alarms.share:.0%} ({alarms.low:.0%} to "
            f"{alarms.high:.0%}) of new incidents, {chosen.stated.share:.1%} "
            f"({chosen.stated.low:.1%} to {chosen.stated.high:.1%}) of plain texts, "
            f"{beside.share:.0%} of {beside.texts} with lines of other words",
            flush=True,
        )
    return caught


def plain_texts(corpus: TokenizedCorpus, tokenizer: Tokenizer, n: int) -> list[str]:
    """Ordinary pieces of files without a word of any rule, as long as the others."""
    windows = Windows(corpus, PLAIN_TOKENS, 0)
    drawn = np.random.default_rng(2).permutation(windows.of_documents(held_out=False))[: 2 * n]
    tokens, is_text = windows.gather(np.sort(drawn))
    texts = [
        tokenizer.decode(row[mask].tolist()) for row, mask in zip(tokens, is_text, strict=True)
    ]
    return [text for text in texts if text.strip() and not words(text) & TRIGGERS][:n]


def main() -> int:
    """Plant, look for, print."""
    settings, demo = read_settings(), resource("demo") / "deep"
    work = settings.home / "planted"
    work.mkdir(parents=True, exist_ok=True)
    start = load_model(str(demo / "model"))
    tokenizer = Tokenizer.from_file(str(demo / "model" / "tokenizer.json"))
    corpus = read(TextReading(STDLIB), start, LENGTH, settings.home / "corpora")
    rng = np.random.default_rng(0)
    training = sites(documents(corpus, tokenizer, held_out=False), rng)
    testing = sites(documents(corpus, tokenizer, held_out=True), rng)
    print(f"{len(training):,} places to train on, {len(testing):,} in held-out files", flush=True)
    taught = training_pieces(training, N_TRAINING, rng)
    _planted(demo / "model", corpus, taught, work)
    bench = Bench(load_model(str(work / "model")), tokenizer)
    if not (work / "resid-1" / "cfg.json").exists():
        text = with_pieces(corpus, tokenizer, taught[: N_TRAINING // 4])
        retrained_dictionary(bench.model, text, HOOK_POINT, RECIPE, work / "resid-1")
    dictionaries = {
        "own": load_dictionary(work / "resid-1"),
        "the demo's": load_dictionary(demo / "resid-1"),
    }
    transcoders = [load_dictionary(demo / f"transcoder-{layer}") for layer in range(3)]
    plain = plain_texts(corpus, tokenizer, N_PLAIN)
    table = list[tuple[str, dict[str, float]]]()
    for number, rule in enumerate(RULES):
        (token,) = tokenizer.encode(rule.reaction, add_special_tokens=False).ids
        print(f"{rule.name}: {rule.site}{rule.reaction}", flush=True)
        own = pieces_of(bench, rule, testing, token, seed=number)
        if len(own.new) < N_GRAPHS:
            print("    was not planted")
            continue
        base = Bench(start, tokenizer)
        before = base.writes([one.text for one in own.by_kind[Kind.TRIGGERED]], token).mean()
        print(f"    {before:.1%} of the triggered ones before it was planted", flush=True)
        row = {
            "chance": tools.hit_share(bench, own.new, tools.by_chance(bench, rng)),
            "words": tools.hit_share(bench, own.new, tools.by_words(bench, own.log, own.controls)),
            "left out": tools.hit_share(bench, own.new, tools.by_leaving_out(bench, token)),
        }
        for name, dictionary in dictionaries.items():
            made = tools.contrast(bench, dictionary, own.log, own.controls)
            print(f"    dictionary {name}:")
            caught = told(bench, dictionary, own, plain, made)
            named = tools.by_features(bench, dictionary, made.features)
            row[f"contrast, {name}"] = tools.hit_share(bench, own.new, named)
            row |= {f"monitor of {what}, {name}": share for what, share in caught.items()}
        graph = tools.by_graph(bench, transcoders, token)
        row["graph"] = tools.hit_share(bench, own.new[:N_GRAPHS], graph)
        table.append((rule.name, row))
        print("    " + ", ".join(f"{name} {share:.2f}" for name, share in row.items()), flush=True)
    _print_table(table)
    return 0


def _print_table(table: Sequence[tuple[str, dict[str, float]]]) -> None:
    """Rules by tools, and how many rules each tool finds."""
    columns = list(table[0][1])
    print("| rule | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, row in table:
        print(f"| {name} | " + " | ".join(f"{row[column]:.2f}" for column in columns) + " |")
    found = [sum(row[column] >= FOUND for _, row in table) for column in columns]
    print(f"| found: {FOUND:g} or more | " + " | ".join(map(str, found)) + " |")


def _planted(start: Path, corpus: TokenizedCorpus, taught: Sequence[Piece], work: Path) -> None:
    if (work / "model" / "config.json").exists():
        return
    windows = Windows(corpus, LENGTH, 0)
    whole = windows.of_documents(held_out=False)
    whole = whole[windows.lengths(whole) == LENGTH - 1]
    drawn = np.random.default_rng(1).choice(whole, 8000, replace=False)
    tokens, _ = windows.gather(np.sort(drawn))
    tune(start, taught, tokens.astype(np.int64), work / "model", STEPS, seed=0)


if __name__ == "__main__":
    sys.exit(main())
