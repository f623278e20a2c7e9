"""Chat templates are programs of strangers: run where they reach nothing, and for a bounded while.

The environment is that of the transformers library (the same blocks, filters and globals), so that
templates render alike, with bounds besides: steps, seconds, and the size of every value.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer
from typing_extensions import override

MOST_STEPS = 200_000
MOST_SECONDS = 5.0
LONGEST = 4_000_000
"""Characters or items of one value, and characters written in all."""
_LARGEST = 100_000  # number that a method or filter may be given
_HIGHEST_POWER = 64
_WIDE = re.compile(r"\d{5,}")  # a width in a format
_TOO_LONG = f"it makes a value of more than {LONGEST:,} characters"


@dataclass
class _Budget:
    """What a rendering has left."""

    steps: int
    written: int
    end: float


_budget: ContextVar[_Budget | None] = ContextVar("_budget", default=None)


@contextmanager
def bounded() -> Iterator[None]:
    """Within the block a template may render once, within the bounds."""
    budget = _Budget(MOST_STEPS, LONGEST, time.monotonic() + MOST_SECONDS)
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment that chat templates are compiled in.

    Every pass of a loop, every call and every value that is written is one step.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, loopcontrols],
            finalize=_write,
            cache_size=0,
        )
        del self.globals["lipsum"]
        self.globals |= {
            "raise_exception": _raise,
            "strftime_now": lambda pattern: datetime.now().strftime(pattern),  # noqa: DTZ005
            "dict": _TemplateDict(),
            "namespace": _TemplateNamespace,
        }
        self.filters = {name: _bounded(own) for name, own in self.filters.items()}
        self.filters["tojson"] = _to_json

    @override
    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        counted: nodes.Template = _Counting().visit(tree)
        return counted

    @override
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        tick()
        _check_call(__obj, args, kwargs)
        return _checked(super().call(__context, __obj, *args, **kwargs))

    @override
    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        tick()
        _check_operands(operator, left, right)
        return _checked(super().call_binop(context, operator, left, right))

    @staticmethod
    def tick() -> None:
        """One pass of a loop."""
        # `call` has counted it.

    @staticmethod
    def joined(*parts: Any) -> str:
        """What `~` makes of its operands."""
        return "".join(map(str, parts))


def tick(written: int = 0) -> None:
    """Count a step, and what it writes.

    Raises:
        SecurityError: a bound is passed.
    """
    budget = _budget.get()
    if budget is None:  # a constant, while the template is compiled
        return
    budget.steps -= 1
    budget.written -= written
    if budget.steps < 0:
        raise SecurityError(f"it takes more than {MOST_STEPS:,} steps")
    if budget.written < 0:
        raise SecurityError(f"it writes more than {LONGEST:,} characters")
    if time.monotonic() > budget.end:
        raise SecurityError(f"it takes longer than {MOST_SECONDS:g} seconds")


class _Counting(NodeTransformer):
    """Puts a counted call into every loop, and one in the place of every `~`."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        self.generic_visit(node)
        call = nodes.Call(nodes.EnvironmentAttribute("tick"), [], [], None, None)
        node.body.insert(0, nodes.ExprStmt(call))
        node.body[0].set_lineno(node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Call:  # noqa: N802
        self.generic_visit(node)
        joined = nodes.EnvironmentAttribute("joined")
        call = nodes.Call(joined, list(node.nodes), [], None, None)
        call.set_lineno(node.lineno)
        return call


class _Generation(Extension):
    """`{% generation %}` marks, for training, what the assistant says; it writes what it holds."""

    tags = {"generation"}

    @override
    def parse(self, parser: Parser) -> nodes.CallBlock:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        block = nodes.CallBlock(self.call_method("_inside"), [], [], body)
        block.set_lineno(line)
        return block

    def _inside(self, caller: Callable[[], str]) -> str:
        return caller()


class _TemplateDict:
    """`dict` without what a class can be made to do."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """As of a dict."""
        return dict.fromkeys(*args)


class _TemplateNamespace(Namespace):
    """`namespace` without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    @override
    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"it stores {name!r} on a namespace")


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the escapes that HTML needs."""
    _check_numbers((indent,))
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _write(value: Any) -> Any:
    tick(len(value) if isinstance(value, str) else 1)
    return value


def _bounded(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is given no large numbers and gives nothing long."""

    @wraps(filter_)  # with the mark that says what it is passed
    def within(*args: Any, **kwargs: Any) -> Any:
        tick()
        _check_numbers((*args, *kwargs.values()))
        texts = [arg for arg in args if isinstance(arg, str)]
        if len(texts) == 3:  # replace
            _check_replacing(*texts)
        lists = [arg for arg in args if isinstance(arg, list | tuple)]
        if lists and texts:  # join
            _check_length(len(lists[0]) * len(texts[0]))
            _check_length(sum(len(item) for item in lists[0] if isinstance(item, str)))
        return _checked(filter_(*args, **kwargs))

    return within


def _check_call(called: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    _check_numbers((*args, *kwargs.values()))
    own = getattr(called, "__self__", None)
    if not isinstance(own, str):
        return
    name = getattr(called, "__name__", "")
    if name == "expandtabs" or (name in ("format", "format_map") and _WIDE.search(own)):
        raise SecurityError(_TOO_LONG)
    if name == "replace" and len(args) > 1 and isinstance(args[1], str):
        _check_replacing(own, args[0], args[1])
    if name == "join" and args and hasattr(args[0], "__len__"):
        _check_length(len(own) * len(args[0]))


def _check_replacing(text: str, old: str, new: str) -> None:
    if len(new) > 1:
        _check_length(len(text) + text.count(old) * len(new))


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if operator == "**" and (_size(left) > _LARGEST or _size(right) > _HIGHEST_POWER):
        raise SecurityError("it raises a number to a high power")
    if operator == "*" and (hasattr(left, "__len__") or hasattr(right, "__len__")):
        _check_length(_size(left) * _size(right))
    if operator == "+" and hasattr(left, "__len__"):
        _check_length(_size(left) + _size(right))
    if operator == "%" and isinstance(left, str) and ("*" in left or _WIDE.search(left)):
        raise SecurityError(_TOO_LONG)


def _size(value: Any) -> float:
    if hasattr(value, "__len__"):
        return float(len(value))
    return abs(value) if isinstance(value, int | float) else 0.0


def _check_numbers(values: tuple[Any, ...]) -> None:
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in values):
        raise SecurityError(f"it uses a number beyond {_LARGEST:,}")


def _check_length(length: float) -> None:
    if length > LONGEST:
        raise SecurityError(_TOO_LONG)


def _checked(value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict):
        _check_length(len(value))
    return value
