"""The architectures of dictionaries, one module each; the class's docstring is its equation.

In: activations. Out: features. `dictionary_classes` finds every class by its name in `cfg.json`:
another architecture is another module here with a class that names its `architecture`. Called by
checkpoints, format readers and training methods.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from sae_core.dictionaries.dictionary import Dictionary


@cache
def dictionary_classes() -> dict[str, type[Dictionary]]:
    """All architectures' classes by the names that `cfg.json` gives them, transcoders included."""
    classes: dict[str, type[Dictionary]] = {}
    for module in pkgutil.iter_modules(__path__):
        name = f"{__name__}.{module.name}"
        for value in vars(importlib.import_module(name)).values():
            own = isinstance(value, type) and value.__module__ == name
            if own and issubclass(value, Dictionary) and "architecture" in vars(value):
                classes[value.architecture] = value
                if value.transcoder_architecture is not None:
                    classes |= {value.name_of(skip): value for skip in (False, True)}
    return dict(sorted(classes.items()))
