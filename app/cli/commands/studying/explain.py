"""`featurescope explain`: labels from a language model, and what they are worth."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from app.cli.endpoints import add_endpoint, costs_of, endpoint_of, spent
from app.cli.options import Commands, add_device, features, positive, tokens, whole

if TYPE_CHECKING:
    from app.jobs.explain.plan import ExplainPlan
    from app.settings import Settings
    from app.store.types.explanations import Explanation

KINDS = ("maxima", "contrast")
SCORERS = ("detection", "fuzzing", "intruder", "simulation", "embedding", "intervention")


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "explain",
        help="ask a language model for labels, and score them beside labels without meaning",
        description="Asks any OpenAI-compatible endpoint. What was answered is kept: the same "
        "command goes on after an interruption, and asks nothing twice.",
    )
    parser.add_argument("target", metavar="MODEL/DICTIONARY", help="as the pages name them")
    parser.add_argument(
        "--features",
        type=features,
        metavar="NUMBERS",
        help="such as 12,40-49 (default: 20 of those that fire, drawn at random)",
    )
    parser.add_argument(
        "--explainers",
        type=_words(KINDS),
        default=("maxima",),
        metavar="NAMES",
        help=f"of {', '.join(KINDS)}, with commas between (default: maxima)",
    )
    parser.add_argument(
        "--scorers",
        type=_words(SCORERS),
        default=("detection", "fuzzing"),
        metavar="NAMES",
        help=f"of {', '.join(SCORERS)} (default: detection,fuzzing)",
    )
    parser.add_argument(
        "--embedding-model", default="", metavar="MODEL", help="the endpoint's model for vectors"
    )
    parser.add_argument(
        "--nulls",
        type=whole(0, 1000),
        default=20,
        help="random directions that are explained and scored alike (default: %(default)s)",
    )
    parser.add_argument(
        "--shown",
        type=whole(1, 20),
        default=5,
        metavar="N",
        help="excerpts that a judge is shown at once; 1 for small models (default: %(default)s)",
    )
    parser.add_argument(
        "--tokens",
        type=tokens,
        default=300_000,
        help="text to draw excerpts from (default: %(default)s)",
    )
    parser.add_argument(
        "--corpus", metavar="TEXT", help="the harvested text, where the store does not say it"
    )
    parser.add_argument(
        "--strength",
        type=positive,
        default=0.5,
        help="of steered texts, in multiples of a feature's maximum (default: %(default)s)",
    )
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")
    add_endpoint(parser)
    add_device(parser)
    parser.set_defaults(
        command=run,
        interrupted="Interrupted. What was answered is kept; the same command goes on from there.",
    )


def _words(known: tuple[str, ...]) -> argparse._ActionType:
    def read(word: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.strip() for part in word.split(",") if part.strip()))
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(
                f"{word!r} is none of {', '.join(known)}, with commas between"
            )
        return names

    return read


def run(arguments: argparse.Namespace) -> None:
    """Explain, keep, and print each feature as soon as it is judged."""
    from app.cli.targets import split_target
    from app.jobs.explain.command import explain_features
    from app.settings import read_settings

    settings = read_settings(device=arguments.device)
    plan = _plan(settings, arguments)
    spec, costs = endpoint_of(arguments), costs_of(arguments)
    explained = explain_features(
        settings,
        *split_target(arguments.target),
        plan,
        spec,
        costs,
        parallel=arguments.parallel,
        corpus=arguments.corpus,
        only_estimate=arguments.estimate,
    )
    if isinstance(explained, str):
        print(explained)
        return
    try:
        for explanation in explained:
            print(lines(explanation), flush=True)
    finally:
        print(spent(costs))


def _plan(settings: Settings, arguments: argparse.Namespace) -> ExplainPlan:
    from app.cli.targets import split_target
    from app.jobs.explain.command import drawn_features
    from app.jobs.explain.explainers import ExplainerKind
    from app.jobs.explain.plan import ExplainPlan
    from app.jobs.explain.verdicts import ScorerKind

    target = split_target(arguments.target)
    return ExplainPlan(
        features=tuple(arguments.features or ())
        or drawn_features(settings, *target, arguments.seed),
        explainers=tuple(map(ExplainerKind, arguments.explainers)),
        scorers=tuple(map(ScorerKind, arguments.scorers)),
        nulls=arguments.nulls,
        tokens=arguments.tokens,
        seed=arguments.seed,
        strength=arguments.strength,
        embedding_model=arguments.embedding_model,
        shown=arguments.shown,
    )


def lines(explanation: Explanation) -> str:
    """A feature with its label and scores, for the terminal."""
    from app.jobs.explain.run import score_sentence
    from app.rendering.tokens import printable

    title = f"{explanation.index} ({explanation.explainer}): "
    if explanation.failure:
        return f"{title}no label: {printable(explanation.failure)}"
    scores = "".join(f"\n    {printable(score_sentence(s))}" for s in explanation.scores)
    return f"{title}{printable(explanation.text)}{scores}"
