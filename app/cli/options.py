"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.jobs.source import SourceSpec

Commands = argparse._SubParsersAction  # argparse has no public name for it


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """What reads an option's value: a whole number from `low` on, up to `high` where given."""
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"

    def read(word: str) -> int:
        try:
            number = int(word)
        except ValueError:
            number = low - 1
        if number < low or (high is not None and number > high):
            raise argparse.ArgumentTypeError(f"{word!r} is not a whole number {bounds}")
        return number

    return read


def positive(word: str) -> float:
    """Reads a number above 0."""
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number above 0")
    return number


PORT = whole(0, 65535)
RESUME = "Interrupted. Give the same command again to go on from the last checkpoint."
_TOKENS = re.compile(r"(\d[\d_]*(?:\.\d+)?)([kmb]?)", re.IGNORECASE)
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


def tokens(word: str) -> int:
    """Reads a number of tokens: 5M, 300k, 2_000_000."""
    match = _TOKENS.fullmatch(word)
    number = Decimal(match[1]) * _THOUSANDS[match[2].lower()] if match else Decimal(0)
    if number < 1 or number != int(number):
        raise argparse.ArgumentTypeError(
            f"{word!r} is no number of tokens: write 5M, 300k or 2_000_000"
        )
    return int(number)


def features(words: str) -> list[int]:
    """Reads numbers of features and ranges of them, with commas between, such as `3,17,40-49`."""
    indices: list[int] = []
    for word in words.split(","):
        match = _RANGE.fullmatch(word.strip())
        if match is None:
            raise argparse.ArgumentTypeError(f"{word!r} is no feature: write 3,17,40-49")
        first = int(match[1])
        last = int(match[2] or match[1])
        if not first <= last < first + 100_000:
            raise argparse.ArgumentTypeError(f"{word!r} is no range of at most 100,000 features")
        indices += range(first, last + 1)
    return indices


def add_address(parser: argparse.ArgumentParser) -> None:
    """Where pages are served."""
    parser.add_argument("--host", help="address to serve on (default: loopback only)")
    parser.add_argument("--port", type=PORT, help="port to serve on, 0 for a free one")
    parser.add_argument(
        "--workers",
        type=int,
        dest="web_processes",
        metavar="N",
        help="processes that answer readers (default: 1); more for a crowd on several processors",
    )
    parser.add_argument(
        "--allow-network",
        action="store_true",
        default=None,
        help="agree to an address that other machines reach; there is no login",
    )


def add_opening(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Whether BOS opens each context."""
    parser.add_argument(
        "--prepend-bos",
        choices=("yes", "no"),
        help="put BOS before each context, where the dictionary's files do not say (default: as "
        "the model's own tokenizer does with plain text)",
    )


def opening(arguments: argparse.Namespace) -> bool | None:
    """What `add_opening` was told; None: nothing."""
    return None if arguments.prepend_bos is None else bool(arguments.prepend_bos == "yes")


def add_device(parser: argparse.ArgumentParser) -> None:
    """What is computed on."""
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), help="what to compute on")


def add_dictionary(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """A model, a dictionary of it and a text."""
    parser.add_argument(
        "--model",
        required=required,
        metavar="DIR",
        help="folder of a Hugging Face model, or a GGUF file",
    )
    which = parser.add_mutually_exclusive_group(required=required)
    which.add_argument(
        "--dictionary",
        type=Path,
        metavar="DIR",
        help="folder with cfg.json and sae_weights.safetensors",
    )
    which.add_argument(
        "--neurons",
        metavar="HOOK_POINT",
        help="the neuron basis there instead, such as blocks.0.mlp.hook_post",
    )
    parser.add_argument("--name", help="what the pages call the dictionary (default: its folder)")
    parser.add_argument("--model-name", help="what the pages call the model (default: its folder)")
    parser.add_argument(
        "--corpus",
        default="python-stdlib",
        metavar="TEXT",
        help="a text file, a folder of them, or python-stdlib (default)",
    )
    parser.add_argument(
        "--writers",
        type=Path,
        metavar="DIR",
        help="for neurons: a dictionary whose features are listed with the neurons they write to",
    )
    parser.add_argument(
        "--writers-name",
        metavar="NAME",
        help="what the pages call that dictionary (default: its folder)",
    )
    parser.add_argument(
        "--tokens", type=tokens, help="how much to read, such as 40k (default: all of it)"
    )
    parser.add_argument("--context", type=whole(2), help="tokens in a context (default: 128)")
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")
    add_opening(parser)
    add_device(parser)


def source_spec(arguments: argparse.Namespace) -> SourceSpec:
    """What the options of `add_dictionary` say: which dictionary, over which text."""
    from app.jobs.source import SourceSpec

    return SourceSpec(
        model=arguments.model,
        dictionary=arguments.dictionary,
        neurons=arguments.neurons,
        name=arguments.name,
        model_name=arguments.model_name,
        corpus=arguments.corpus,
        n_ctx=arguments.context,
        writers=arguments.writers,
        writers_name=arguments.writers_name,
        prepend_bos=opening(arguments),
    )
