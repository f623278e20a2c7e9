"""`featurescope train`: a dictionary from a model and a text."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from app.cli.options import RESUME, Commands, add_device, add_opening, opening, tokens, whole
from sae_core.training.config import Normalisation, TrainingConfig

_DEFAULTS = TrainingConfig()


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser("train", help="train a dictionary on a model's activations")
    parser.add_argument(
        "--model",
        required=True,
        metavar="DIR",
        help="folder of a Hugging Face model, or a GGUF file",
    )
    parser.add_argument(
        "--hook-point",
        required=True,
        help="where to read, such as blocks.0.mlp.hook_post; with blocks.* here and below a "
        "cross-layer transcoder of all blocks is trained",
    )
    parser.add_argument(
        "--output-hook-point",
        help="train a transcoder: what to reconstruct, such as blocks.0.hook_mlp_out from "
        "blocks.0.mlp.hook_in (default: what is read)",
    )
    parser.add_argument(
        "--skip",
        action="store_true",
        help="a transcoder's linear map from what is read to what is reconstructed",
    )
    parser.add_argument(
        "--corpus",
        default="python-stdlib",
        metavar="TEXT",
        help="a file or folder of text as `add` reads it, or python-stdlib (default)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the dictionary to write"
    )
    parser.add_argument("--name", help="what the pages call the run (default: its folder)")
    parser.add_argument("--context", type=whole(2), help="tokens in a context (default: 128)")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="keep the activations there, for other trainings on the same (default: nowhere)",
    )
    add_opening(parser)
    add_device(parser)
    _config(parser)
    parser.set_defaults(command=run, interrupted=RESUME, parser=parser)


def _config(parser: argparse.ArgumentParser) -> None:
    """The fields of `TrainingConfig`."""
    parser.add_argument(
        "--architecture",
        default=_DEFAULTS.architecture,
        help="topk, batchtopk, matryoshka, jumprelu, gated or standard (default: %(default)s)",
    )
    parser.add_argument(
        "--features",
        type=whole(1),
        default=_DEFAULTS.d_sae,
        help="in each block that is read (default: %(default)s)",
    )
    sparsity = parser.add_mutually_exclusive_group()
    sparsity.add_argument(
        "--l0",
        type=_number,
        help=f"features active on a token, in each block (default: {_DEFAULTS.l0:g})",
    )
    sparsity.add_argument(
        "--penalty", type=_number, help="a fixed weight of the sparsity penalty instead"
    )
    parser.add_argument(
        "--tokens", type=tokens, default=_DEFAULTS.tokens, help="such as 5M (default: 5M)"
    )
    parser.add_argument(
        "--batch", type=whole(1), default=_DEFAULTS.batch, help="tokens in a step (%(default)s)"
    )
    parser.add_argument(
        "--learning-rate", type=_number, help="Adam's peak (default: the architecture's own)"
    )
    parser.add_argument(
        "--normalisation",
        type=Normalisation,
        choices=list(Normalisation),
        default=_DEFAULTS.normalisation,
        help="of the activations; folded into the weights at the end (default: %(default)s)",
    )
    parser.add_argument(
        "--downstream",
        type=_number,
        default=_DEFAULTS.downstream,
        metavar="SHARE",
        help="share of the steps, at the end, that also train for the model's predictions "
        "(default: 0)",
    )
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is no number") from None


def run(arguments: argparse.Namespace) -> None:
    """Train the dictionary, evaluate it and write its folder."""
    from app.jobs.training.train import TrainingSpec, train
    from app.settings import read_settings

    l0 = arguments.l0
    if l0 is None and arguments.penalty is None:
        l0 = _DEFAULTS.l0
    config = TrainingConfig(
        architecture=arguments.architecture,
        d_sae=arguments.features,
        l0=l0,
        penalty=arguments.penalty,
        tokens=arguments.tokens,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        normalisation=arguments.normalisation,
        downstream=arguments.downstream,
        seed=arguments.seed,
    )
    spec = TrainingSpec(
        model=arguments.model,
        hook_point=arguments.hook_point,
        corpus=arguments.corpus,
        out=arguments.out,
        config=config,
        n_ctx=arguments.context,
        cache=arguments.cache,
        name=arguments.name,
        command=_spelled(arguments),
        prepend_bos=opening(arguments),
        output_hook_point=arguments.output_hook_point,
        skip=arguments.skip,
    )
    print(train(read_settings(device=arguments.device), spec), file=sys.stderr)


def _spelled(arguments: argparse.Namespace) -> str:
    """The command line that starts this training, and goes on with it."""
    words = ["featurescope", "train"]
    for name, value in vars(arguments).items():
        if name not in (
            "command",
            "interrupted",
            "parser",
        ) and value != arguments.parser.get_default(name):
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)
