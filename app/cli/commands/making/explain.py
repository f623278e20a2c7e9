"""`featurescope explain`: labels from a language model, and what they are worth."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from app.cli.options import Commands, add_device, features, tokens, whole

if TYPE_CHECKING:
    from app.jobs.explain.costs import Costs
    from app.jobs.explain.endpoint import EndpointSpec
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
        "--endpoint",
        required=True,
        metavar="URL",
        help="base of the endpoint, such as http://localhost:8001/v1",
    )
    parser.add_argument("--model", required=True, help="the endpoint's name of its model")
    parser.add_argument(
        "--key-name",
        default="OPENAI_API_KEY",
        metavar="VARIABLE",
        help="environment variable with the endpoint's key (default: %(default)s)",
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
        type=_positive,
        default=0.5,
        help="of steered texts, in multiples of a feature's maximum (default: %(default)s)",
    )
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")
    _spending(parser)
    add_device(parser)
    parser.set_defaults(
        command=run,
        interrupted="Interrupted. What was answered is kept; the same command goes on from there.",
    )


def _spending(parser: argparse.ArgumentParser) -> None:
    """How fast, and for how much."""
    parser.add_argument(
        "--estimate", action="store_true", help="say what it costs at most, and ask nothing"
    )
    parser.add_argument(
        "--price-read", type=_positive, default=0.0, metavar="$", help="per million tokens sent"
    )
    parser.add_argument(
        "--price-written", type=_positive, default=0.0, metavar="$", help="and answered"
    )
    parser.add_argument(
        "--budget",
        type=_positive,
        default=math.inf,
        metavar="$",
        help="spend no more; needs prices",
    )
    parser.add_argument(
        "--budget-tokens", type=tokens, metavar="N", help="use no more tokens, sent and answered"
    )
    parser.add_argument(
        "--per-minute", type=_positive, default=math.inf, metavar="N", help="questions a minute"
    )
    parser.add_argument(
        "--parallel", type=whole(1, 64), default=4, help="questions at once (default: %(default)s)"
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


def _positive(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number above 0")
    return number


def run(arguments: argparse.Namespace) -> None:
    """Explain, keep, and print each feature as soon as it is judged."""
    from app.cli.targets import split_target
    from app.jobs.explain.command import explain_features
    from app.jobs.explain.costs import Costs, Prices
    from app.settings import read_settings

    settings = read_settings(device=arguments.device)
    spec, plan = _endpoint(arguments), _plan(settings, arguments)
    prices = Prices(arguments.price_read, arguments.price_written)
    _check_budget(arguments)
    costs = Costs(prices, arguments.budget, arguments.budget_tokens or math.inf)
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


def _check_budget(arguments: argparse.Namespace) -> None:
    from app.errors import InvalidRequest

    if math.isfinite(arguments.budget) and not (arguments.price_read or arguments.price_written):
        raise InvalidRequest(
            "A budget in dollars needs the prices: give --price-read and --price-written, or "
            "--budget-tokens instead."
        )


def _endpoint(arguments: argparse.Namespace) -> EndpointSpec:
    import os

    from app.jobs.explain.endpoint import EndpointSpec

    return EndpointSpec(
        url=arguments.endpoint,
        model=arguments.model,
        key=os.environ.get(arguments.key_name, ""),
        key_name=arguments.key_name,
        per_minute=arguments.per_minute,
    )


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


def spent(costs: Costs) -> str:
    """What was asked and paid, in a line."""
    price = f", ${costs.dollars:.4f}" if costs.dollars else ""
    return (
        f"{costs.asked:,} questions asked, {costs.kept:,} answered before; {costs.read:,} tokens "
        f"sent, {costs.written:,} answered{price}."
    )
