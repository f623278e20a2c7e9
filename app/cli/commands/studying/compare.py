"""`featurescope compare`: what dictionaries have in common."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from app.cli.options import Commands, add_device, tokens, whole

if TYPE_CHECKING:
    from app.store.types.comparisons import ComparisonView


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "compare",
        help="find which features of dictionaries are found again in each other",
        description="Compares dictionaries of one model (seeds, sizes, layers, architectures, "
        "neurons), or of models that read text as the same tokens.",
    )
    parser.add_argument(
        "targets", nargs="*", metavar="MODEL/DICTIONARY", help="two or more, as the pages name them"
    )
    parser.add_argument("--name", help="what the pages call the comparison")
    parser.add_argument(
        "--tokens", type=tokens, help="how much text is read, such as 40k (default: 262,144)"
    )
    parser.add_argument(
        "--corpus",
        metavar="TEXT",
        help="a text file, a folder of them, or python-stdlib (default: the text that the first "
        "dictionary was harvested on)",
    )
    parser.add_argument("--context", type=whole(2), help="tokens in a context (default: as there)")
    parser.add_argument(
        "--bar",
        type=float,
        help="least cosine or correlation at which a feature counts as found again (default: 0.7)",
    )
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="default: %(default)s")
    parser.add_argument(
        "--replace", action="store_true", help="let another comparison of the same name go"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="train three seeds and three sizes on the bundled demo, and compare them",
    )
    parser.add_argument(
        "--remove", metavar="NAME", help="take a comparison out of the store instead"
    )
    add_device(parser)
    parser.set_defaults(
        command=run, interrupted="Interrupted; nothing was kept. Give the same command again."
    )


def run(arguments: argparse.Namespace) -> None:
    """Compare, and print what was found."""
    from app.cli.targets import split_target
    from app.errors import InvalidRequest
    from app.jobs.comparison.compare import TOKENS, ComparisonSpec, compare
    from app.settings import read_settings
    from sae_core.evaluation.comparison.limits import BAR

    settings = read_settings(device=arguments.device)
    if sum(map(bool, (arguments.targets, arguments.demo, arguments.remove))) != 1:
        raise InvalidRequest(
            "Say what to compare: two or more MODEL/DICTIONARY (`featurescope list` names them), "
            "--demo, or --remove NAME."
        )
    if arguments.remove:
        from app.store.store import open_store

        with open_store(settings, upgrade=False) as store:
            store.comparisons.remove(arguments.remove)
        print(f"The comparison {arguments.remove} is gone.")
    elif arguments.demo:
        from app.jobs.comparison.demo import compare_demo

        for view in compare_demo(settings):
            print(table(view))
    else:
        spec = ComparisonSpec(
            targets=tuple(split_target(target) for target in arguments.targets),
            name=arguments.name,
            tokens=TOKENS if arguments.tokens is None else arguments.tokens,
            seed=arguments.seed,
            bar=BAR if arguments.bar is None else arguments.bar,
            corpus=arguments.corpus,
            n_ctx=arguments.context,
        )
        print(table(compare(settings, spec, arguments.replace)))


def table(view: ComparisonView) -> str:
    """A comparison for the terminal."""
    from app.rendering.addresses import comparison_address
    from app.rendering.numbers import count, percent
    from app.rendering.tokens import printable

    settings = view.settings
    lines = [
        f"{printable(view.name)}: {count(settings.n_tokens)} tokens of "
        f"{count(settings.n_documents)} documents of {printable(settings.corpus)}",
    ]
    for (source, target), figures in view.pairs.items():
        here, there = view.dictionaries[source], view.dictionaries[target]
        lines.append(f"  {printable(here.title)} in {printable(there.title)}")
        for measure, values in (
            ("activations", figures.by_correlation),
            ("decoder", figures.by_cosine),
        ):
            if values is None:
                continue
            found, above = values.found, values.above_null
            lines += [
                f"    by {measure}: found again (from {values.bar:.2f} on) {percent(found.share)} "
                f"({percent(found.low)} to {percent(found.high)}), by chance "
                f"{percent(values.null_found.share)};",
                f"      above the null ({values.threshold:.2f}) {percent(above.share)}, by chance "
                f"{percent(values.null_above.share)}",
            ]
    return "\n".join([*lines, f"  Its page: {comparison_address(view.name)}"])
