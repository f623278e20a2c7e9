"""The packages as rooms, and the imports between them, for the tests that keep the walls."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePath

from tests.contract.repository import modules, tree

SHARED = ("app/pages/", "app/worker/")  # folders whose own folders are rooms


def dotted(name: str) -> str:
    """`app/store/store.py` as `app.store.store`; a package by its own name."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def arrows() -> Mapping[str, frozenset[str]]:
    """Which modules of ours each module of ours imports, wherever in it; names are dotted."""
    known = {dotted(name): name for name in modules("app/", "sae_core/")}
    return {
        module: frozenset(x for x in _imported(name, known) if x != module)
        for module, name in known.items()
    }


def _imported(name: str, known: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from inside & known.keys() or {node.module}


def room(module: str) -> str:
    """The room that a module lies in: a module directly in `app` or `sae_core` is its own."""
    parts = module.split(".")
    deep = f"{'/'.join(parts[:2])}/" in SHARED
    return ".".join(parts[: 3 if deep else 2])


def below(module: str, *rooms: str) -> bool:
    """Whether a module is one of the rooms or lies in one."""
    return any(module == name or module.startswith(f"{name}.") for name in rooms)


@cache
def packages() -> tuple[str, ...]:
    """The folders of `app` and `sae_core` that hold Python files, by path."""
    return tuple(sorted({str(PurePath(name).parent) for name in modules("app/", "sae_core/")}))


def circles(graph: Mapping[str, frozenset[str]]) -> list[set[str]]:
    """The sets of nodes that reach one another, after Tarjan (SIAM J. Comput. 1, 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    result: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in graph.get(node, frozenset()):
            if other not in order:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], order[other])
        if lowest[node] == order[node]:
            group = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(group) > 1:
                result.append(group)

    for node in graph:
        if node not in order:
            visit(node)
    return result
