"""What rules are worth: `python -m benchmarks.rules [demo|neurons|planted|speed ...]`.

`demo` learns rules for the bundled dictionaries and says how many are above their null. `neurons`
sets the features of the first of them beside the neurons they are made of, and beside a model with
random weights. `planted` takes features whose rule is known, and counts how many shuffled ones are
called above their null. `speed` times 4,096 features on a million tokens.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from app.jobs.demo.contents import FEATURES, HOOK_POINT, demo_specs
from app.jobs.source import open_source
from app.rendering.tokens import visible
from app.settings import read_settings, resource
from sae_core.dictionaries.checkpoint import load_dictionary, neuron_basis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.harvest import plan_harvest, run_harvest
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.rules.harvested import HarvestedFirings, HarvestedText, looked_at
from sae_core.rules.labelling import Firings, RuleLabeller
from sae_core.rules.learner import RuleLearner
from sae_core.rules.null import NullPool
from sae_core.rules.predicate import Clause, FlagCondition, Predicate, TokenCondition
from sae_core.rules.record import RuleRecord
from sae_core.text.tokenized import Windows
from sae_core.training.config import TrainingConfig
from sae_core.training.data.pools import TextPools
from sae_core.training.data.stream import PoolStream
from sae_core.training.demo_model import save_model
from sae_core.training.trainer import train

TOKENS = 1_048_576
PLANTED = 400
FEWEST_PLANTED = 50  # tokens on which a planted rule holds
SHUFFLED_DRAWS = 4  # of the pool each
RANDOM_TOKENS = 1_000_000  # that the random model's dictionary is trained on
RANDOM_SHARE = 4  # it has a quarter of the features, a quarter of which fire at once


@dataclass(frozen=True)
class Labelled:
    """The rules of a dictionary, and what they cost.

    Attributes:
        records: one of each feature.
        seconds: of reading the text, of the null, and of the features.
        firings: of each feature.
    """

    records: list[RuleRecord]
    seconds: tuple[float, float, float]
    firings: NDArray[np.int64]

    @property
    def alive(self) -> list[RuleRecord]:
        """Those of features that fire."""
        return [record for record in self.records if self.firings[record.index]]

    def scores(self) -> NDArray[np.float64]:
        """F1 of each feature that fires."""
        return np.array([record.f1 for record in self.alive])

    def say(self, title: str) -> None:
        """Print what became of them."""
        scores, alive = self.scores(), self.alive
        above = np.mean([record.above for record in alive])
        low, high = _median_interval(scores)
        tokens = np.array([record.token_f1.value or 0.0 for record in alive])
        print(
            f"{title:28} {len(alive):5,} alive  above null {100 * above:5.1f} %  "
            f"median F1 {np.median(scores):.3f} ({low:.3f} to {high:.3f})  mean {scores.mean():.3f}"
            f"  single token {np.median(tokens):.3f}  "
            f"seconds {self.seconds[0]:.1f} + {self.seconds[1]:.1f} + {self.seconds[2]:.1f}",
            flush=True,
        )


def _median_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of a median, from the order of the values (binomial)."""
    n = len(values)
    ordered = np.sort(values)
    low = max(0, int(stats.binom.ppf(0.025, n, 0.5)) - 1)
    return float(ordered[low]), float(ordered[min(n - 1, n - 1 - low)])


@contextmanager
def harvested(
    model: LanguageModel, dictionary: Dictionary, windows: Windows, tokens: int
) -> Iterator[FiringLog]:
    """All firings of a dictionary on some text."""
    plan = plan_harvest(windows, tokens, 0)
    with tempfile.TemporaryDirectory() as folder:
        log = FiringLog(Path(folder), plan.header(model, dictionary, "of a benchmark"))
        run_harvest(model, dictionary, plan, log)
        yield log


def labelled(
    model: LanguageModel,
    windows: Windows,
    log: FiringLog,
    read: Callable[[HarvestedFirings], Callable[[int], Firings]] = lambda own: own.read,
    counts: NDArray[np.int64] | None = None,
) -> Labelled:
    """Rules for the firings of a log, or for what `read` makes of them."""
    vocabulary = model.vocabulary
    begin = time.perf_counter()
    numbers = looked_at(windows, log) if counts is None else log.windows
    own = HarvestedFirings(HarvestedText(windows, numbers, vocabulary, 0), log)
    labeller = RuleLabeller(
        own.text,
        own.counts if counts is None else counts,
        read(own),
        lambda token: visible(vocabulary.pieces[token]),
        0,
    )
    ready = time.perf_counter()
    pool = list(labeller.shuffled_scores())
    compared = time.perf_counter()
    records = list(labeller.records(pool))
    done = time.perf_counter()
    seconds = (ready - begin, compared - ready, done - compared)
    return Labelled(records, seconds, own.counts if counts is None else counts)


def demo() -> None:
    """Must show 1: the bundled dictionaries."""
    for spec, tokens in demo_specs():
        source = open_source(read_settings(), spec)
        with harvested(source.model, source.dictionary, source.windows, tokens) as log:
            rules = labelled(source.model, source.windows, log)
        rules.say(source.title)
        if spec.name == FEATURES:
            draw = np.random.default_rng(0).choice(len(rules.alive), 10, replace=False)
            for record in (rules.alive[int(n)] for n in np.sort(draw)):
                print(f"    {record.index:5} F1 {record.f1:.2f}  {record.sentence}")


def neurons() -> None:
    """Must show 2: features, neurons, and a model with random weights."""
    (features_spec, _), (neurons_spec, _), *_ = demo_specs()
    own = open_source(read_settings(), features_spec)
    with harvested(own.model, own.dictionary, own.windows, TOKENS) as log:
        features = labelled(own.model, own.windows, log)
    features.say("features")
    basis = open_source(read_settings(), neurons_spec)
    with harvested(basis.model, basis.dictionary, basis.windows, TOKENS) as log:
        _compare(features, labelled(basis.model, basis.windows, log), "neurons")
        _compare(
            features,
            _as_sparse(basis.model, basis.windows, log, features),
            "neurons, as sparse",
        )
    with tempfile.TemporaryDirectory() as folder:
        model = _random_model(Path(folder))
        windows = Windows(own.corpus, own.windows.n_ctx, own.windows.bos)
        directions = neuron_basis(HOOK_POINT, own.dictionary.d_in)
        with harvested(model, directions, windows, TOKENS) as log:
            _compare(features, _as_sparse(model, windows, log, features), "random model's neurons")
        learnt = _trained(model, windows)
        with harvested(model, learnt, windows, TOKENS) as log:
            _compare(features, labelled(model, windows, log), "random model's features")


def _compare(features: Labelled, others: Labelled, title: str) -> None:
    """Print the difference of features and others in F1, with test and interval."""
    others.say(title)
    ours, theirs = features.scores(), others.scores()
    test = stats.ttest_ind(ours, theirs, equal_var=False)
    ends = test.confidence_interval(0.95)
    rank = stats.mannwhitneyu(ours, theirs)
    print(
        f"    features have {ours.mean() - theirs.mean():+.3f} mean F1 ({ends.low:+.3f} to "
        f"{ends.high:+.3f}; Welch), {np.median(ours) - np.median(theirs):+.3f} median; "
        f"Mann-Whitney p = {rank.pvalue:.2g}, a feature beats one of them with probability "
        f"{rank.statistic / len(ours) / len(theirs):.3f}"
    )


def _as_sparse(
    model: LanguageModel, windows: Windows, log: FiringLog, features: Labelled
) -> Labelled:
    """Rules for the strongest firings of neurons: as many as features fire, rank for rank."""
    counts = log.counts()
    wanted = np.quantile(
        features.firings[features.firings > 0], (np.argsort(np.argsort(counts)) + 0.5) / len(counts)
    ).astype(np.int64)
    kept = np.minimum(counts, np.maximum(1, wanted))

    def read(own: HarvestedFirings) -> Callable[[int], Firings]:
        def strongest(index: int) -> Firings:
            places, values = own.read(index)
            order = np.argsort(-values, kind="stable")[: kept[index]]
            at = np.sort(order)
            return places[at], values[at]

        return strongest

    return labelled(model, windows, log, read, kept)


def _random_model(folder: Path) -> LanguageModel:
    """The demo's model with weights as they are before any training."""
    demo_folder = resource("demo") / "model"
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(demo_folder)))
    save_model(model, Tokenizer.from_file(str(demo_folder / "tokenizer.json")), folder)
    return load_model(str(folder))


def _trained(model: LanguageModel, windows: Windows) -> Dictionary:
    """A dictionary of a model's neurons; each of its features fires as often as the demo's."""
    shipped = load_dictionary(resource("demo") / FEATURES)
    config = TrainingConfig(
        d_sae=shipped.d_sae // RANDOM_SHARE, l0=24 // RANDOM_SHARE, tokens=RANDOM_TOKENS
    )
    stream = PoolStream(TextPools(model, HOOK_POINT, windows, config.seed), config.batch)
    with tempfile.TemporaryDirectory() as folder:
        return train(stream, config, HOOK_POINT, Path(folder) / "checkpoint").dictionary


def planted() -> None:
    """Must show 3: known rules, and shuffled features."""
    spec, _ = demo_specs()[0]
    source = open_source(read_settings(), spec)
    with harvested(source.model, source.dictionary, source.windows, TOKENS) as log:
        vocabulary = source.model.vocabulary
        own = HarvestedFirings(HarvestedText(source.windows, log.windows, vocabulary, 0), log)
        _recover(own)
        labeller = RuleLabeller(own.text, own.counts, own.read, str, 0)
        pool = list(labeller.shuffled_scores())
        _false_positives(labeller, pool)


def _recover(own: HarvestedFirings) -> None:
    """How many of the planted rules are found, clean and with noise."""
    text, random = own.text, np.random.default_rng(0)
    learner = RuleLearner(text)
    for noise in (0.0, 0.1):
        agreements = []
        for _ in range(PLANTED):
            true = _some_rule(own, random)
            holds = true.holds(text.attributes)
            fires = np.flatnonzero(holds[: text.learnt.end])
            fires = fires[random.random(len(fires)) >= noise]
            extra = random.choice(text.learnt.end, int(noise * len(fires)), replace=False)
            learnt = learner.learn(np.union1d(fires, extra)).holds(text.attributes)
            begin = text.held_out.begin
            both = np.count_nonzero(learnt[begin:] & holds[begin:])
            total = np.count_nonzero(learnt[begin:]) + np.count_nonzero(holds[begin:])
            agreements.append(2 * both / max(1, total))
        f1 = np.array(agreements)
        print(
            f"planted, {100 * noise:.0f} % of firings left out and as many added elsewhere: "
            f"{np.mean(f1 > 0.95):.1%} of {PLANTED} rules learnt with F1 > 0.95 against the true "
            f"one, {np.mean(f1 > 0.8):.1%} with F1 > 0.8, median {np.median(f1):.3f}",
            flush=True,
        )


def _some_rule(own: HarvestedFirings, random: np.random.Generator) -> Predicate:
    """A random rule with one to three conditions that holds often enough to be learnt."""
    text = own.text
    while True:
        at = random.integers(len(text.attributes), size=int(random.integers(1, 4)))
        own_tokens = text.attributes.neighbours[0][at]
        conditions: list[TokenCondition | FlagCondition] = [
            TokenCondition("token", tuple(sorted({int(token) for token in own_tokens})))
        ]
        if random.random() < 0.5:
            before = text.attributes.neighbours[1][at]
            conditions.append(
                TokenCondition("previous", tuple(sorted({int(token) for token in before})))
            )
        if random.random() < 0.3:
            place = ("string", "comment", "parentheses", "line-start", "indented")
            conditions.append(FlagCondition(f"place:{random.choice(place)}"))
        named = [c for c in conditions if isinstance(c, TokenCondition)]
        if any(text.attributes.d_vocab in c.tokens for c in named):
            continue  # nothing stands before the window's first token
        rule = Predicate((Clause(tuple(conditions)),))
        if np.count_nonzero(rule.holds(text.attributes)) >= FEWEST_PLANTED:
            return rule


def _false_positives(labeller: RuleLabeller, pool: list[tuple[int, float]]) -> None:
    """How many of other shuffles are above their null."""
    null = NullPool(np.array([n for n, _ in pool]), np.array([f1 for _, f1 in pool]))
    fresh = [
        null.compare(n, f1)
        for draw in range(1, 1 + SHUFFLED_DRAWS)
        for n, f1 in labeller.shuffled_scores(draw)
    ]
    above = sum(test.above for test in fresh)
    ends = stats.binomtest(above, len(fresh)).proportion_ci(0.95, "wilson")
    print(
        f"shuffled: {above} of {len(fresh)} above their null, {above / len(fresh):.2%} "
        f"({ends.low:.2%} to {ends.high:.2%})",
        flush=True,
    )


def speed() -> None:
    """Must show 8: 4,096 features on a million tokens."""
    spec, _ = demo_specs()[0]
    source = open_source(read_settings(), spec)
    with harvested(source.model, source.dictionary, source.windows, TOKENS) as log:
        rules = labelled(source.model, source.windows, log)
    total = sum(rules.seconds)
    print(
        f"rules of {len(rules.records):,} features on {TOKENS:,} tokens: {total:.1f} s, "
        f"{1000 * total / len(rules.records):.1f} ms each"
    )


def main(names: list[str]) -> None:
    """Run the named parts, or all."""
    parts = {"demo": demo, "neurons": neurons, "planted": planted, "speed": speed}
    if unknown := [name for name in names if name not in parts]:
        raise SystemExit(f"There is no part {unknown[0]!r}; there are {', '.join(parts)}.")
    for name in names or parts:
        parts[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
