"""The training methods, one module each.

In: a `TrainingConfig` and batches of activations. Out: the gradients of each step, and at the end a
dictionary. Called by the trainer, which finds the class by its name in the configuration, and by
commands that list the names. Another method is another module here with a class that names its
`architecture`; nothing else has to know of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from sae_core.dictionaries.dictionary import Output
from sae_core.errors import TrainingError
from sae_core.training.method import Method


@cache
def methods() -> dict[str, type[Method]]:
    """The classes of all methods for one block, by architecture, in alphabetical order."""
    return {name: kind for (name, crosses), kind in _classes().items() if not crosses}


def method_class(architecture: str, output: Output | None = None) -> type[Method]:
    """The class that trains an architecture.

    Args:
        architecture: its name.
        output: what a transcoder reconstructs, which for a cross-layer one is in several blocks.

    Raises:
        TrainingError: there is none of that name.
    """
    known = methods()
    if architecture not in known:
        raise TrainingError(
            f"There is no architecture {architecture!r} to train: use one of {', '.join(known)}."
        )
    if output is None or output.layers == 1:
        return known[architecture]
    crossing = {name: kind for (name, crosses), kind in _classes().items() if crosses}
    if architecture not in crossing:
        raise TrainingError(
            f"Cross-layer transcoders are trained as {', '.join(crossing)} here, not as "
            f"{architecture}: use that."
        )
    return crossing[architecture]


def _classes() -> dict[tuple[str, bool], type[Method]]:
    """All classes by architecture, and by whether they cross layers."""
    classes: dict[tuple[str, bool], type[Method]] = {}
    for module in pkgutil.iter_modules(__path__):
        name = f"{__name__}.{module.name}"
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and issubclass(value, Method) and value.__module__ == name:
                classes[value.architecture, value.crosses_layers] = value
    return dict(sorted(classes.items()))
