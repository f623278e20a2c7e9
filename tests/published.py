"""A store with the samples published, made once in a process and copied."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from app.settings import Settings
from app.store.store import open_store
from tests import factories

FILE = "featurescope.db"


@cache
def published() -> bytes:
    """A SQLite store that holds `demo/mlp-12` and `demo/neurons`, as the bytes of its file."""
    with tempfile.TemporaryDirectory() as folder:
        with open_store(Settings(home=Path(folder))) as store:
            factories.publish(store, factories.sample())
            factories.publish(store, factories.neurons_sample())
        return (Path(folder) / FILE).read_bytes()
