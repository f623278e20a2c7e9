"""`featurescope circuit`: which features a task owes its answers to, and what is left without."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.options import Commands, add_device, whole

if TYPE_CHECKING:
    from app.jobs.circuits.task import TaskSpec
    from app.pages.graph.questions import GraphQuestion
    from app.settings import Settings
    from app.store.store import Store
    from app.store.types.circuits import CircuitView

_LARGEST = 16 * 2**20  # bytes of a file
_SHOWN = 10  # features in the terminal
_NODES = 512  # of the graph
_GROUPED = 20  # features that are put together in the graph


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "circuit",
        help="the circuit of a task: responsible features, and the model without them",
        description="Finds on half of a task's prompts the features, or bare neurons, that help "
        "the right answers most, then sets them to zero on the others, beside random features of "
        "like activity. Its page is /m/MODEL/circuit/NAME; a graph of one prompt is drawn, too.",
    )
    parser.add_argument("model", metavar="MODEL", help="as the pages name it")
    parser.add_argument(
        "task",
        metavar="TASK",
        help="arguments, brackets, indirect-object, greater-than, or a file of JSON lines with "
        '"prompt", "right" and "wrong"',
    )
    parser.add_argument(
        "--prompts", type=whole(4), default=60, metavar="N", help="of a known task (default: 60)"
    )
    parser.add_argument(
        "--dictionary",
        action="append",
        metavar="NAME",
        help="whose features are looked at; several: repeat it (default: the model's transcoders)",
    )
    parser.add_argument(
        "--neurons",
        action="store_true",
        help="look at the neurons in layers without a dictionary (default: where there are no "
        "transcoders)",
    )
    parser.add_argument(
        "--features",
        type=whole(1),
        nargs="+",
        default=[5, 10, 20, 50],
        metavar="N",
        help="how many are set to zero together (default: 5 10 20 50)",
    )
    parser.add_argument(
        "--draws", type=whole(1), default=10, metavar="N", help="random sets of each (default: 10)"
    )
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="of these")
    parser.add_argument("--no-graph", action="store_true", help="draw no graph")
    add_device(parser)
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was kept.")


def run(arguments: argparse.Namespace) -> None:
    """Find a circuit, print what it is, and draw a graph of one of its prompts."""
    from app.jobs.circuits.task import find_circuit
    from app.rendering.addresses import circuit_address
    from app.settings import read_settings
    from app.store.store import open_store

    settings = read_settings(device=arguments.device)
    with open_store(settings) as store:
        spec = _spec(store, arguments)
        view = find_circuit(store, spec, settings.device, settings.worker_threads)
        _say(view)
        if not arguments.no_graph:
            _draw(settings, store, arguments, view)
        print(
            f"Its page is {circuit_address(spec.facts.model, view.name)} of `featurescope serve`."
        )


def _spec(store: Store, arguments: argparse.Namespace) -> TaskSpec:
    from app.cli.commands.studying.graph import typeset
    from app.errors import InvalidRequest
    from app.jobs.circuits.task import TaskSpec, task_prompts
    from app.pages.graph.asking import chosen, places
    from app.web.model import known_model
    from sae_core.circuits.tasks.circuit import CircuitSettings

    model = known_model(store, typeset(store), arguments.model)
    question = _question(arguments, "-", ())
    views = chosen(model, question)
    parts = places(model, question, views)
    checksums = {view.name: view.checksum for view in views}
    lines = _lines(Path(arguments.task))
    prompts = task_prompts(
        arguments.task, lines, arguments.prompts, store.vocabulary(model.facts.model_id)
    )
    if not parts:
        raise InvalidRequest("There is nothing whose features could be responsible.")
    return TaskSpec(
        facts=views[0] if views else model.facts,
        dictionaries=tuple(parts),
        checksums=tuple(checksums.get(part.name, "") for part in parts),
        title=arguments.task if lines is None else Path(arguments.task).stem,
        prompts=prompts,
        settings=CircuitSettings(
            tuple(sorted(set(arguments.features))), arguments.draws, arguments.seed
        ),
    )


def _question(
    arguments: argparse.Namespace, prompt: str, targets: tuple[str, ...]
) -> GraphQuestion:
    from app.pages.graph.questions import GraphQuestion

    names = arguments.dictionary
    neurons = arguments.neurons or None
    return GraphQuestion(
        prompt=prompt,
        targets=targets,
        dictionaries=() if names is None and neurons else names,
        neurons=neurons,
        max_nodes=_NODES,
    )


def _lines(path: Path) -> list[str] | None:
    """The lines of a task's file; None: there is no such file, so that it names a known task."""
    from app.errors import InvalidRequest

    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidRequest(f"A task's file has at most {_LARGEST // 2**20} MiB.")
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read as text: {error}.") from error


def _say(view: CircuitView) -> None:
    """What was found and tried, in the terminal."""
    from app.pages.graph.circuit.view import circuit_page

    page = circuit_page(view)
    print(page.ability)
    for row in page.sets:
        print(f"  {row.sentence}")
    for feature in page.features[:_SHOWN]:
        print(f"  {feature.name}: {feature.sentence}")
    print(page.agreement)


def _draw(
    settings: Settings, store: Store, arguments: argparse.Namespace, view: CircuitView
) -> None:
    """A graph of the first prompt that the circuit was tried on, with its features in a group."""
    import numpy as np

    from app.cli.commands.studying.graph import trace
    from app.rendering.addresses import graph_address

    record = view.record
    prompt = record.prompts[1]
    question = _question(arguments, prompt.text, (*prompt.right, *prompt.wrong))
    drawn = trace(settings, store, record.model, question)
    nodes = store.graphs.contents(drawn).nodes
    responsible = [
        node
        for feature in record.circuit.features[:_GROUPED]
        for node in np.flatnonzero(
            (nodes.place == feature.place) & (nodes.index == feature.feature)
        ).tolist()
    ]
    title = f"responsible for {record.title}"
    if responsible and not any(group.title == title for group in drawn.groups):
        store.graphs.group(record.model, drawn.name, title, responsible)
    print(f"A graph of one prompt is {graph_address(record.model, drawn.name)}.")
