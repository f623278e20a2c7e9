"""Features against neurons by raters that are scripts: `python -m benchmarks.rating [FEATURES]`.

The raters are no people. `rule` gives points by how well a feature's rule says where it fires
(F1 on held-out documents), so that its verdict is known; `copier` repeats what `rule` said of an
item with probability 0.7, and else what it said of another item drawn at random, so that
Krippendorff's alpha of the two is 0.7 but for chance; `small` is a rater by endpoint, whose server
is a script that counts how alike the marked tokens are. Every figure is printed beside that of an
independent library. The store is a copy of the demo's under FEATURESCOPE_HOME.
"""

from __future__ import annotations

import io
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from pathlib import Path

import krippendorff
import numpy as np
from scipy import stats

from app.cli.main import run
from app.pages.rate.results import KEYS, NAMES, StudyResults, study_results
from app.settings import Settings, read_settings
from app.store.store import Store, open_store
from app.store.types.ratings import RUBRIC, NewRating, RaterKind, RubricScores, StudyView
from sae_core.evaluation.agreement import Metric
from sae_core.evaluation.two_samples import difference
from sae_core.harvest.blinding import BlindSheet, blind_sheet
from sae_core.harvest.records import Examples
from tests.app.jobs.explain.scripted import rater, served

FEATURES = 100
COPIED = 0.7
SEED = 0


def main(words: Sequence[str] = ()) -> None:
    """Make the study, rate it, and print what comes of it."""
    n = int(words[0]) if words else FEATURES
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source = read_settings().home / "featurescope.db"
        with (
            closing(sqlite3.connect(source)) as original,
            closing(sqlite3.connect(home / source.name)) as copy,
        ):
            original.backup(copy)
        with open_store(Settings(home=home)) as store:
            views = [store.dictionary("demo", name) for name in ("mlp-4096", "mlp-neurons")]
            study = store.ratings.create(views, n, seed=SEED, title="rated by scripts")
            _say_tells(store, study)
            _rate_by_rule(store, study)
        _rate_by_endpoint(home, study)
        with open_store(Settings(home=home)) as store:
            start = time.perf_counter()
            results = study_results(store, store.ratings.study(study.id))
            print(f"\nresults of {results.blind} ratings in {time.perf_counter() - start:.2f} s\n")
    _say(results)


def _say_tells(store: Store, study: StudyView) -> None:
    """Print how well simple counts on a sheet tell features from neurons."""
    tells: dict[str, tuple[list[float], list[float]]] = {}
    for item in store.ratings.items(study.id):
        shown = store.ratings.feature(study, item)
        assert shown is not None
        sheet = blind_sheet(shown.record, shown.windows)
        marked = blind_sheet(shown.record, shown.windows, every_mark=True)
        contexts = [context for group in sheet.groups for context in group.contexts]
        examples = [group.examples for group in shown.record.groups]
        weights = np.abs([share for _, share in (*sheet.raised, *sheet.lowered)])
        place = int(item.subject != study.sources[0].subject)
        for name, value in (
            ("tokens that fire, as an unblinded page marks them", _fire_share(examples)),
            ("marked tokens, with every mark", _marked_share(marked)),
            ("marked tokens, as it is", _marked_share(sheet)),
            ("contexts", float(len(contexts))),
            ("tenth logit weight, as a share of the first", float(np.median(weights))),
        ):
            tells.setdefault(name, ([], []))[place].append(value)
    print("what could tell features from neurons (0.5: nothing; 0 or 1: everything):")
    for name, groups in tells.items():
        compared = difference(*groups, seed=SEED)
        means = " and ".join(f"{np.mean(group):.3g}" for group in groups)
        print(f"  {name}: {means} on average; AUROC {compared.superiority:.3f}")
    print()


def _marked_share(sheet: BlindSheet) -> float:
    contexts = [context for group in sheet.groups for context in group.contexts]
    return float(np.mean([np.mean(context.bands > 0) for context in contexts]))


def _fire_share(examples: Sequence[Examples]) -> float:
    """Firings as a share of the tokens around, over whole examples."""
    return sum(len(e.values) for e in examples) / max(1, sum(len(e) for e in examples)) / 128


def _rate_by_rule(store: Store, study: StudyView) -> None:
    """The raters `rule` and `copier`."""
    # By feature: the ids are random, and the copier's draws are not to differ from run to run.
    items = sorted(store.ratings.items(study.id), key=lambda item: (item.subject, item.index))
    answers = []
    for item in items:
        shown = store.ratings.feature(study, item)
        assert shown is not None
        rule = store.rules.of_feature(shown.dictionary, item.index)
        f1 = rule.test.f1.value if rule is not None and rule.test is not None else 0.0
        answers.append(RubricScores(*(round(c.highest * (f1 or 0.0)) for c in RUBRIC)))
    rng = np.random.default_rng(SEED)
    for i, item in enumerate(items):
        copied = i if rng.random() < COPIED else int(rng.integers(len(items)))
        for name, scores in (("rule", answers[i]), ("copier", answers[copied])):
            new = NewRating(name, scores, kind=RaterKind.PROGRAM)
            store.ratings.keep(study.id, item.id, new)


def _rate_by_endpoint(home: Path, study: StudyView) -> None:
    """The rater `small`, by the command itself."""
    before = os.environ.get("FEATURESCOPE_HOME")
    os.environ["FEATURESCOPE_HOME"] = str(home)
    try:
        with served(rater) as script:
            words = ["rate", study.id, "--endpoint", script.url, "--model", "small"]
            print("$ featurescope " + " ".join(["rate", study.id[:8], *words[2:]]))
            told = io.StringIO()
            with redirect_stdout(told):
                code = run(words)
            if code:
                raise SystemExit("The rater by endpoint failed.")
            print(told.getvalue().splitlines()[-1])
    finally:
        if before is None:
            del os.environ["FEATURESCOPE_HOME"]
        else:
            os.environ["FEATURESCOPE_HOME"] = before


def _say(results: StudyResults) -> None:
    """Distributions, differences and agreement, each beside the library's."""
    titles = [source.title for source in results.study.sources]
    by_rater = {
        name: [
            [
                (s.total if (s := one.ratings[name].scores) else None)
                for one in results.items
                if one.source == place and name in one.ratings
            ]
            for place in range(len(titles))
        ]
        for name in results.rating
    }
    print("totals, ratings of 0 to 14 points:")
    for name, groups in by_rater.items():
        for title, totals in zip(titles, groups, strict=True):
            counts = np.bincount([t for t in totals if t is not None], minlength=15)
            print(f"  {name:7} {title:17} {' '.join(f'{count:3}' for count in counts)}")
    print("\nthe items' means over raters, first less second:")
    for key in KEYS:
        result = results.by_criterion[key]
        compared = result.differences[0, 1]
        figures = [_figures(results, key, place) for place in (0, 1)]
        theirs = stats.mannwhitneyu(*figures, method="asymptotic")
        print(
            f"  {NAMES[key]:13} {result.groups[0].mean:5.2f} and {result.groups[1].mean:5.2f}: "
            f"{compared.difference:+.2f} ({compared.low:+.2f} to {compared.high:+.2f}), "
            f"U {compared.u:.1f}, p {compared.p:.3g}, larger in {compared.superiority:.1%}; "
            f"SciPy: U {theirs.statistic:.1f}, p {theirs.pvalue:.3g}"
        )
    print("\nKrippendorff's alpha, ours and the library's:")
    pairs = [*((p.first, p.second) for p in results.pairs)]
    chosen: list[tuple[str, tuple[int, ...]]] = [("all raters", tuple(range(len(results.rating))))]
    chosen += [(f"{results.rating[i]} and {results.rating[j]}", (i, j)) for i, j in pairs]
    for title, raters in chosen:
        table = np.array(
            [
                [
                    float(one.ratings[name].scores.total)  # type: ignore[union-attr]
                    if name in one.ratings and one.ratings[name].scores
                    else np.nan
                    for one in results.items
                ]
                for name in (results.rating[place] for place in raters)
            ]
        )
        pair = next((p for p in results.pairs if (p.first, p.second) == raters), None)
        total = results.by_criterion["total"]
        for metric in Metric:
            figure = getattr(total if pair is None else pair, metric.value)
            theirs = krippendorff.alpha(reliability_data=table, level_of_measurement=metric.value)
            print(
                f"  {title:17} {metric.value:8} {figure.alpha:.12f} ({figure.low:.3f} to "
                f"{figure.high:.3f}); library {theirs:.12f}"
            )


def _figures(results: StudyResults, key: str, place: int) -> list[float]:
    """Each rated item's mean over raters."""
    out = []
    for one in results.items:
        scores = [view.scores for view in one.ratings.values() if view.scores is not None]
        if one.source == place and scores:
            out.append(round(float(np.mean([getattr(s, key) for s in scores])), 9))
    return out


if __name__ == "__main__":
    main(sys.argv[1:])
