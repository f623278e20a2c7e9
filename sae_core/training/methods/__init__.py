"""The training methods, one file each. `methods` finds a class by its name in a configuration.

Another method is another module here with a class that names its `architecture`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from sae_core.errors import TrainingError
from sae_core.training.method import Method


@cache
def methods() -> dict[str, type[Method]]:
    """All methods' classes by name."""
    classes: dict[str, type[Method]] = {}
    for module in pkgutil.iter_modules(__path__):
        name = f"{__name__}.{module.name}"
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and issubclass(value, Method) and value.__module__ == name:
                classes[value.architecture] = value
    return dict(sorted(classes.items()))


def method_class(architecture: str) -> type[Method]:
    """The class of an architecture.

    Raises:
        TrainingError: there is none of that name.
    """
    known = methods()
    if architecture not in known:
        raise TrainingError(
            f"There is no architecture {architecture!r} to train: use one of {', '.join(known)}."
        )
    return known[architecture]
