"""Options of commands that ask a model behind an endpoint: which, how fast, for how much."""

from __future__ import annotations

import argparse
import math
import os
from typing import TYPE_CHECKING

from app.cli.options import positive, tokens, whole

if TYPE_CHECKING:
    from app.jobs.explain.costs import Costs
    from app.jobs.explain.endpoint import EndpointSpec


def add_endpoint(parser: argparse.ArgumentParser) -> None:
    """Add all of them."""
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
        "--estimate", action="store_true", help="say what it costs at most, and ask nothing"
    )
    parser.add_argument(
        "--price-read", type=positive, default=0.0, metavar="$", help="per million tokens sent"
    )
    parser.add_argument(
        "--price-written", type=positive, default=0.0, metavar="$", help="and answered"
    )
    parser.add_argument(
        "--budget", type=positive, default=math.inf, metavar="$", help="spend no more; needs prices"
    )
    parser.add_argument(
        "--budget-tokens", type=tokens, metavar="N", help="use no more tokens, sent and answered"
    )
    parser.add_argument(
        "--per-minute", type=positive, default=math.inf, metavar="N", help="questions a minute"
    )
    parser.add_argument(
        "--parallel", type=whole(1, 64), default=4, help="questions at once (default: %(default)s)"
    )


def endpoint_of(arguments: argparse.Namespace) -> EndpointSpec:
    """The endpoint that the options name.

    Raises:
        InvalidRequest: its address is none.
    """
    from app.jobs.explain.endpoint import EndpointSpec

    return EndpointSpec(
        url=arguments.endpoint,
        model=arguments.model,
        key=os.environ.get(arguments.key_name, ""),
        key_name=arguments.key_name,
        per_minute=arguments.per_minute,
    )


def costs_of(arguments: argparse.Namespace) -> Costs:
    """What may be spent.

    Raises:
        InvalidRequest: there is a budget in dollars and no price.
    """
    from app.errors import InvalidRequest
    from app.jobs.explain.costs import Costs, Prices

    if math.isfinite(arguments.budget) and not (arguments.price_read or arguments.price_written):
        raise InvalidRequest(
            "A budget in dollars needs the prices: give --price-read and --price-written, or "
            "--budget-tokens instead."
        )
    prices = Prices(arguments.price_read, arguments.price_written)
    return Costs(prices, arguments.budget, arguments.budget_tokens or math.inf)


def spent(costs: Costs) -> str:
    """What was asked and paid, in a line."""
    price = f", ${costs.dollars:.4f}" if costs.dollars else ""
    return (
        f"{costs.asked:,} questions asked, {costs.kept:,} answered before; {costs.read:,} tokens "
        f"sent, {costs.written:,} answered{price}."
    )
