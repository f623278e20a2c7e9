"""The architectures, one file each. `dictionary_class` finds a class by its SAELens name.

Another architecture is another module here with a class that names its `architecture`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from sae_core.dictionaries.dictionary import Dictionary


@cache
def dictionary_classes() -> dict[str, type[Dictionary]]:
    """All architectures' classes by the name that `cfg.json` gives them."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    found = {
        cls.architecture: cls
        for cls in Dictionary.__subclasses__()
        if cls.__module__.startswith(__name__)
    }
    return dict(sorted(found.items()))
