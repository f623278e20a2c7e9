"""`featurescope add`: a model, a dictionary and a text of the user's own."""

from __future__ import annotations

import argparse

from app.cli.options import (
    RESUME,
    Commands,
    add_device,
    add_opening,
    opening,
    tokens,
    whole,
)

NORMS = ("none", "expected_average_only_in", "layer_norm", "constant_norm_rescale", "centred")


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "add", help="bring your own model and dictionary: from folders or names to pages"
    )
    parser.add_argument(
        "--model",
        required=True,
        help="folder of a Hugging Face model, its name on the Hub, or a GGUF file",
    )
    parser.add_argument(
        "--sae",
        required=True,
        help="folder or file of a dictionary in any known format, OWNER/REPOSITORY/PATH on the "
        "Hub, or a SAELens name such as gpt2-small-res-jb/blocks.8.hook_resid_pre",
    )
    _text(parser)
    names = parser.add_argument_group("names on the pages")
    names.add_argument("--name", help="of the dictionary (default: its folder)")
    names.add_argument("--model-name", help="of the model (default: its folder)")
    names.add_argument(
        "--replace",
        action="store_true",
        help="let another model or dictionary of the same name go",
    )
    parser.add_argument(
        "--no-rules", action="store_true", help="do not learn rules for the features"
    )
    parser.add_argument(
        "--no-phrases",
        action="store_true",
        help="do not keep text and firings, some 20 bytes a token, to search them by phrase",
    )
    _dictionary(parser)
    model = parser.add_argument_group("how the model runs")
    model.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="default: %(default)s",
    )
    model.add_argument("--revision", help="of the model on the Hub (default: its newest)")
    add_device(parser)
    parser.set_defaults(command=run, interrupted=RESUME)


def _text(parser: argparse.ArgumentParser) -> None:
    text = parser.add_argument_group("the text")
    text.add_argument(
        "--corpus",
        default="python-stdlib",
        metavar="TEXT",
        help="a file or folder of text (.txt .md .py .jsonl .parquet .arrow, also packed as .gz "
        ".bz2 .xz .zst), a token array (.npy .bin), hf:owner/name[:split], or python-stdlib "
        "(default)",
    )
    text.add_argument(
        "--column", default="text", help="column of .jsonl, .parquet, .arrow (default: %(default)s)"
    )
    text.add_argument(
        "--tokens", type=tokens, help="read no further than this, such as 2M (default: all of it)"
    )
    text.add_argument(
        "--shuffle", action="store_true", help="read documents in an order drawn by the seed"
    )
    text.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")
    text.add_argument("--context", type=whole(2), help="tokens in a context (default: 128)")
    text.add_argument(
        "--packing",
        choices=("none", "isolated", "joined"),
        default="none",
        help="none: one document a window; isolated: the same, several of them in one row, none "
        "of which sees another; joined: end to end, attention crosses documents "
        "(default: %(default)s)",
    )
    text.add_argument("--corpus-revision", help="of a data set on the Hub (default: its newest)")


def _dictionary(parser: argparse.ArgumentParser) -> None:
    dictionary = parser.add_argument_group("how the dictionary is read, where its files do not say")
    dictionary.add_argument(
        "--format",
        choices=(
            "saelens",
            "sparsify",
            "dictionary_learning",
            "gemma_scope",
            "llama_scope",
            "circuit_tracer",
            "qwen_scope",
            "linear_layers",
            "kissane",
            "openai",
            "mapped",
        ),
        help="default: found by looking inside",
    )
    dictionary.add_argument(
        "--tensor",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="which tensor is which, such as W_enc=encoder.weight.T, for files in no known format",
    )
    dictionary.add_argument("--hook-point", help="where it reads, such as blocks.8.hook_resid_pre")
    dictionary.add_argument(
        "--output-hook-point",
        help="where a transcoder writes, such as blocks.8.hook_mlp_out",
    )
    dictionary.add_argument(
        "--turn-skip",
        action="store_true",
        help="use a transcoder's skip connection transposed",
    )
    dictionary.add_argument(
        "--subtract-b-dec", choices=("yes", "no"), help="take b_dec off the input first"
    )
    dictionary.add_argument("--normalise", choices=NORMS, help="do this to the input first")
    add_opening(dictionary)
    dictionary.add_argument("--sae-revision", help="on the Hub (default: its newest)")


def run(arguments: argparse.Namespace) -> None:
    """Harvest the addition and publish it in the store."""
    from app.jobs.harvest.add import Addition, harvest_addition
    from app.jobs.harvest.harvest import HarvestParts
    from app.settings import read_settings
    from sae_core.dictionaries.formats.mapped import parse_mapping
    from sae_core.text.reading import Packing, TextReading

    subtracts = None if arguments.subtract_b_dec is None else arguments.subtract_b_dec == "yes"
    addition = Addition(
        model=arguments.model,
        sae=arguments.sae,
        reading=TextReading(
            corpus=arguments.corpus,
            column=arguments.column,
            n_tokens=arguments.tokens,
            shuffle=arguments.seed if arguments.shuffle else None,
            packing=Packing(arguments.packing),
            revision=arguments.corpus_revision,
        ),
        name=arguments.name,
        model_name=arguments.model_name,
        format=arguments.format,
        mapping=parse_mapping(arguments.tensor),
        hook_point=arguments.hook_point,
        output_hook_point=arguments.output_hook_point,
        turn_skip=arguments.turn_skip,
        subtracts=subtracts,
        norm=arguments.normalise,
        dtype=arguments.dtype,
        revision=arguments.revision,
        sae_revision=arguments.sae_revision,
        n_ctx=arguments.context,
        seed=arguments.seed,
        prepend_bos=opening(arguments),
    )
    settings = read_settings(device=arguments.device)
    parts = HarvestParts(not arguments.no_rules, not arguments.no_phrases)
    harvest_addition(settings, addition, print, replace=arguments.replace, parts=parts)
