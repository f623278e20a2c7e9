"""`featurescope graph`: computes, reads and writes attribution graphs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.options import Commands, add_device, positive, whole

if TYPE_CHECKING:
    from app.pages.graph.questions import GraphQuestion
    from app.rendering.tokens import Typeset
    from app.settings import Settings
    from app.store.store import Store
    from app.store.types.catalogue import DictionaryView
    from app.store.types.graphs import GraphView

_LARGEST = 512 * 2**20  # bytes of a file


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "graph",
        help="what a prediction is made of: an attribution graph",
        description="Follows the prediction after a prompt back through features, or bare neurons, "
        "to the tokens, and keeps the graph for its page /m/MODEL/graph/NAME. The model runs in "
        "float32; the same question gives the same graph, and is answered at once when it was "
        "asked before.",
    )
    parser.add_argument("model", metavar="MODEL", help="as the pages name it")
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="text whose next token counts")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="TOKEN",
        help="a token that may come next, by its text or id:N; several: repeat it (default: the "
        "likeliest ones)",
    )
    parser.add_argument(
        "--feature",
        action="append",
        default=[],
        metavar="DICTIONARY:N@POSITION",
        help="a feature whose causes are asked for instead",
    )
    parser.add_argument(
        "--dictionary",
        action="append",
        metavar="NAME",
        help="whose features are nodes; several: repeat it (default: the model's transcoders)",
    )
    parser.add_argument(
        "--neurons",
        action="store_true",
        help="make nodes of the neurons in layers without a dictionary (default: where there are "
        "no transcoders)",
    )
    parser.add_argument(
        "--nodes", type=whole(1), default=1500, metavar="N", help="features kept (default: 1500)"
    )
    parser.add_argument(
        "--memory", type=positive, default=4.0, metavar="GIB", help="that it may take (default: 4)"
    )
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="keep the graph of a Neuronpedia JSON instead"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the graph as Neuronpedia JSON, too"
    )
    add_device(parser)
    parser.set_defaults(command=run, interrupted="Interrupted; nothing was kept.")


def run(arguments: argparse.Namespace) -> None:
    """Compute or read a graph, and say where it is."""
    from app.errors import InvalidRequest
    from app.rendering.addresses import graph_address
    from app.settings import read_settings
    from app.store.store import open_store

    settings = read_settings(device=arguments.device)
    if (arguments.prompt is None) == (arguments.read is None):
        raise InvalidRequest("Give either a PROMPT or, with --read, a FILE.")
    if arguments.json is not None and arguments.json.exists():
        raise InvalidRequest(f"{arguments.json} is there already: name another file.")
    with open_store(settings) as store:
        if arguments.read is not None:
            view = _read(store, arguments.model, arguments.read)
        else:
            view = trace(settings, store, arguments.model, _question(arguments))
        print(f"{view.n_nodes:,} nodes and {view.n_edges:,} edges over {view.n_tokens:,} tokens.")
        print(f"Its page is {graph_address(view.model, view.name)} of `featurescope serve`.")
        if arguments.json is not None:
            _write(store, view, arguments.json)
            print(f"Written to {arguments.json}.")


def _question(arguments: argparse.Namespace) -> GraphQuestion:
    from app.pages.graph.questions import NEURONS, submitted

    fields = [("text", arguments.prompt), ("nodes", str(arguments.nodes))]
    fields += [("memory", str(arguments.memory))]
    fields += [("target", token) for token in arguments.target]
    fields += [("feature", name) for name in arguments.feature]
    fields += [("d", name) for name in arguments.dictionary or ()]
    fields += [("d", NEURONS)] if arguments.neurons else []
    return submitted(fields)


def _read(store: Store, model: str, path: Path) -> GraphView:
    from app.errors import InvalidRequest
    from app.exchange.neuronpedia.graphs.keep import keep_file

    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise InvalidRequest(
                f"{path} has {size / 2**20:,.0f} MiB; graphs of up to {_LARGEST // 2**20} are read."
            )
        text = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    return keep_file(store, text, model, path.name)


def trace(settings: Settings, store: Store, name: str, question: GraphQuestion) -> GraphView:
    """The graph, from the store or computed in this process."""
    import sys

    from app.errors import InvalidRequest
    from app.pages.graph.asking import graph_task, keep
    from app.pages.graph.stream import began
    from app.web.model import known_model
    from app.worker.process.jobs.registry import TorchWorkbench
    from app.worker.process.limits import Limits
    from app.worker.protocol.events import GraphBegan, GraphTraced, Progress

    model = known_model(store, typeset(store), name)
    task = graph_task(model, question)
    if (there := store.graphs.asked(task.question)) is not None:
        return there
    bench = TorchWorkbench(settings.device, settings.worker_threads, Limits())
    bench.prepare()
    for event in bench.work(task.request):
        if isinstance(event, GraphBegan):
            print(began(event).sentence, file=sys.stderr)
        elif isinstance(event, Progress) and event.total:
            print(f"\r{event.done:,} of {event.total:,}", end="", file=sys.stderr, flush=True)
        elif isinstance(event, GraphTraced):
            print(file=sys.stderr)
            return keep(model, task, event)
    raise InvalidRequest("The graph was not finished; give the command again.")


def _write(store: Store, view: GraphView, path: Path) -> None:
    from app.exchange.neuronpedia.graphs.write import graph_json
    from app.pages.graph.query import GraphQuery
    from app.pages.graph.view.page import page_of
    from sae_core.files.atomic import atomic_file

    page = page_of(store, typeset(store), view, GraphQuery())
    with atomic_file(path) as draft, draft.open("w", encoding="ascii") as file:
        file.writelines(graph_json(view, page.graph, page.names.written()))


def typeset(store: Store) -> Callable[[DictionaryView], Typeset]:
    """Tokens of the store's models, ready to be shown."""
    from app.rendering.tokens import Typesets

    typesets = Typesets()
    return lambda view: typesets.of(view.model_id, store.vocabulary(view.model_id))
