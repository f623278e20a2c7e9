"""`featurescope experiment`: the same prompts under several edits of the model, compared."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.options import Commands, add_device, positive, tokens, whole

if TYPE_CHECKING:
    from app.jobs.audit.experiments.plan import ExperimentPlan
    from app.jobs.audit.experiments.run import JudgeMeans
    from app.settings import Settings
    from app.store.store import Store
    from app.store.written.audit.experiments.records import ExperimentView

_SHOWN = 40  # comparisons in the terminal


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "experiment",
        help="run many prompts under several edits of the model, and compare what comes out",
        description="Every prompt is continued by the unsteered model and under every arm, with "
        "the same random numbers; outcomes are compared prompt by prompt, with intervals. Its page "
        "is /experiments/NAME. Killed, the same command goes on.",
    )
    parser.add_argument(
        "plan", nargs="?", metavar="PLAN", help="a .toml or .yaml file, or a result with --again"
    )
    parser.add_argument("--again", action="store_true", help="run a result's plan anew and compare")
    parser.add_argument("--estimate", action="store_true", help="say how long it takes, and end")
    parser.add_argument("--output", metavar="FILE", help="write the result there as well")
    simple = parser.add_argument_group("instead of a plan, for a simple one")
    simple.add_argument("--dictionary", metavar="MODEL/DICTIONARY")
    simple.add_argument("--prompts", metavar="FILE", help="one a line, or JSON lines")
    simple.add_argument("--features", metavar="N,N", help="edited together")
    simple.add_argument("--strengths", default="1", metavar="S,S", help="default: 1")
    simple.add_argument(
        "--method",
        choices=("add", "clamp", "scale", "cap", "remove"),
        default="add",
        help="default: add",
    )
    simple.add_argument("--words", metavar="W,W", help="an outcome: any of them is said")
    simple.add_argument("--pattern", metavar="REGEX", help="an outcome: it is found")
    simple.add_argument("--answer", metavar="TEXT", help="an outcome: its probability")
    simple.add_argument("--tokens", type=whole(1, 4096), metavar="N", help="of a text at most")
    simple.add_argument("--samples", type=whole(1, 1000), metavar="N", help="of each prompt")
    simple.add_argument("--seed", type=whole(0, 2**31 - 1), metavar="N")
    simple.add_argument("--name", metavar="NAME", help="what it is called")
    judge = parser.add_argument_group("where the plan asks a judge")
    judge.add_argument("--price-read", type=positive, default=0.0, metavar="$")
    judge.add_argument("--price-written", type=positive, default=0.0, metavar="$")
    judge.add_argument("--budget", type=positive, default=math.inf, metavar="$")
    judge.add_argument("--budget-tokens", type=tokens, metavar="N")
    judge.add_argument("--parallel", type=whole(1, 64), default=4, metavar="N")
    add_device(parser)
    parser.set_defaults(
        command=run, interrupted="Interrupted; the same command goes on from where it was."
    )


def run(arguments: argparse.Namespace) -> None:
    """Run a plan, print what came of it; or run a result again and say what differs."""
    from app.jobs.audit.experiments.run import ExperimentRun
    from app.settings import read_settings
    from app.store.store import open_store

    settings = read_settings(device=arguments.device)
    means = _means(arguments)
    with open_store(settings) as store:
        if arguments.again:
            _run_again(settings, store, arguments, means)
            return
        opened = ExperimentRun(settings, store, _plan(arguments))
        print(opened.promise())
        for sentence in opened.estimates(means.costs):
            print(sentence)
        if arguments.estimate:
            return
        view, path = opened.run(means)
        _say(view, means, path, arguments.output)


def _run_again(
    settings: Settings, store: Store, arguments: argparse.Namespace, means: JudgeMeans
) -> None:
    from app.errors import InvalidRequest
    from app.jobs.audit.experiments.result_file import differences, read_result
    from app.jobs.audit.experiments.run import ExperimentRun

    if arguments.plan is None:
        raise InvalidRequest("Name the file of the result that is to be run again.")
    before = read_result(Path(arguments.plan))
    opened = ExperimentRun(settings, store, before.plan(), before.neutral)
    print(opened.promise())
    found = differences(before, opened.run_again(means))
    for sentence in found:
        print(sentence)
    if not found:
        print("Nothing differs: every text and every figure came out as before.")


def _plan(arguments: argparse.Namespace) -> ExperimentPlan:
    from app.errors import InvalidRequest
    from app.jobs.audit.experiments.plan import planned, read_plan

    given = [arguments.dictionary, arguments.prompts, arguments.features]
    if (arguments.plan is None) != all(given) or (arguments.plan is not None and any(given)):
        raise InvalidRequest(
            "Give the file of a plan, or --dictionary, --prompts and --features with an outcome "
            "such as --words."
        )
    if arguments.plan is not None:
        return read_plan(Path(arguments.plan))
    try:
        return planned(_values(arguments), Path())
    except ValueError as error:
        raise InvalidRequest(f"This makes no experiment: {error}") from error


def _values(arguments: argparse.Namespace) -> dict[str, Any]:
    """The plan that the options stand for."""
    from app.errors import InvalidRequest

    try:
        features = [int(word) for word in arguments.features.split(",")]
        strengths = [float(word) for word in arguments.strengths.split(",")]
    except ValueError as error:
        raise InvalidRequest(
            "--features are whole numbers and --strengths numbers, with commas between them."
        ) from error
    outcomes: list[dict[str, Any]] = []
    if arguments.words is not None:
        words = [word for word in arguments.words.split(",") if word]
        outcomes.append({"words": words})
    if arguments.pattern is not None:
        outcomes.append({"pattern": arguments.pattern})
    if arguments.answer is not None:
        outcomes.append({"answer": arguments.answer})
    outcomes += [{"measure": "length"}, {"measure": "repetition"}]
    arm = {"features": features, "method": arguments.method, "strengths": strengths}
    values = {
        "dictionary": arguments.dictionary,
        "prompts": arguments.prompts,
        "arms": [arm],
        "outcomes": outcomes,
    }
    named = {name: getattr(arguments, name) for name in ("tokens", "samples", "seed", "name")}
    return values | {name: value for name, value in named.items() if value is not None}


def _means(arguments: argparse.Namespace) -> JudgeMeans:
    from app.cli.endpoints import costs_of
    from app.jobs.audit.experiments.run import JudgeMeans

    return JudgeMeans(
        costs_of(arguments), lambda name: os.environ.get(name, ""), arguments.parallel
    )


def _say(view: ExperimentView, means: JudgeMeans, path: Path, output: str | None) -> None:
    """What came of it, in the terminal."""
    from app.cli.endpoints import spent
    from app.pages.audit.experiments.sentences import difference_sentences
    from app.rendering.addresses import experiment_address
    from sae_core.files.atomic import atomic_file

    sentences = difference_sentences(view.details)
    for sentence in sentences[:_SHOWN]:
        print(f"  {sentence}")
    if len(sentences) > _SHOWN:
        print(f"  … and {len(sentences) - _SHOWN} more on its page.")
    if any(outcome.kind == "judge" for outcome in view.details.outcomes):
        print(spent(means.costs))
    if output is not None:
        with atomic_file(Path(output)) as draft:
            draft.write_bytes(path.read_bytes())
    print(f"Its file is {output or path}; `featurescope experiment FILE --again` runs it again.")
    print(f"Its page is {experiment_address(view.name)} of `featurescope serve`.")
