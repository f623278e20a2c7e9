"""`featurescope evaluate`: how good a dictionary is, on held-out text."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from app.cli.options import Commands, add_dictionary, source_spec

if TYPE_CHECKING:
    from app.jobs.source import SourceSpec
    from app.settings import Settings


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "evaluate", help="losses, KL, L0, FVU, bands and geometry of a dictionary, with intervals"
    )
    parser.add_argument(
        "target",
        nargs="?",
        metavar="MODEL/DICTIONARY",
        help="one in the store, as the pages name it, on the text it was harvested from; or else:",
    )
    add_dictionary(parser, required=False)
    parser.set_defaults(corpus=None)
    parser.add_argument(
        "--save",
        action="store_true",
        help="keep the result, so that the dictionary's evaluation page shows it",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was kept.")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate the dictionary, keep the figures where that was asked for, and print them."""
    import json

    from app.jobs.harvested.evaluate import EVALUATION_TOKENS, evaluate
    from app.settings import read_settings

    settings = read_settings(device=arguments.device)
    spec = _spec(settings, arguments)
    figures = evaluate(
        settings,
        spec,
        EVALUATION_TOKENS if arguments.tokens is None else arguments.tokens,
        arguments.seed,
        arguments.save,
    )
    title = "/".join(spec.titles)
    print(json.dumps(figures, indent=1) if arguments.json else table(title, figures))


def _spec(settings: Settings, arguments: argparse.Namespace) -> SourceSpec:
    """What the options name, in the store or in folders."""
    from app.cli.targets import split_target
    from app.errors import InvalidRequest
    from app.jobs.harvested.evaluate import stored_spec
    from sae_core.text.corpus import STDLIB

    named = (arguments.model, arguments.dictionary or arguments.neurons)
    if arguments.target is not None:
        if any(named):
            raise InvalidRequest(
                "Name either MODEL/DICTIONARY in the store, or folders with --model and "
                "--dictionary or --neurons, not both."
            )
        target = split_target(arguments.target)
        return stored_spec(settings, *target, arguments.corpus, arguments.context)
    if not all(named):
        raise InvalidRequest(
            "Say what to evaluate: MODEL/DICTIONARY in the store (`featurescope list` names them), "
            "or folders with --model and --dictionary or --neurons."
        )
    arguments.corpus = arguments.corpus or STDLIB
    return source_spec(arguments)


def table(title: str, evaluation: dict[str, Any]) -> str:
    """An evaluation for the terminal.

    Args:
        title: of the dictionary.
        evaluation: from `app.jobs.harvested.evaluate.record`.
    """
    from app.pages.dictionary.evaluation_rows import rows
    from app.store.types.evaluation import StoredEvaluation

    stored = StoredEvaluation.model_validate(evaluation)
    measured, details = stored.measured, stored.details
    assert measured is not None
    assert details is not None
    kind = "held-out" if measured.held_out else "harvested (none is held out)"
    lines = [
        f"{title} on {kind} text of {measured.source}",
        f"{stored.n_tokens:,} tokens of {stored.n_documents:,} documents in windows of "
        f"{measured.n_ctx}, seed {measured.seed}; 95 % intervals over documents",
        "",
        *(f"  {r.title:24} {r.value:>10}   {r.interval:22}".rstrip() for r in rows(stored)),
    ]
    # How much of the loss each band of activations carries, the strongest first.
    if bands := details.bands:
        total = sum(bands.firings)
        lines += ["", "  activation, of maximum    firings   of the loss effect"]
        for band in reversed(range(len(bands.firings))):
            share, ends = bands.shares[band], bands.intervals[band]
            of_loss = "–" if share is None else f"{share:9.2%}"
            interval = f"   {ends[0]:.2%} to {ends[1]:.2%}" if ends else ""
            where = f"{band}/11 to {band + 1}/11"
            lines.append(f"  {where:22} {bands.firings[band] / total:10.3%} {of_loss}{interval}")
    # How alike the decoder's directions are, beside directions drawn at random.
    if decoder := details.decoder:
        nearest, random = decoder.nearest_quantiles[2], decoder.random
        expected = f" (random directions: {random.nearest_median:.3f})" if random else ""
        lines += [
            "",
            f"  cosine of decoder rows: root mean square {decoder.root_mean_square:.4f} (random "
            f"directions: {decoder.d_in**-0.5:.4f}); with the nearest other row, median "
            f"{nearest:.3f}{expected}",
        ]
    return "\n".join(lines)
