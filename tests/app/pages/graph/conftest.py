"""A site whose worker pretends to trace graphs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.pretend import circuits
from tests.app.pretend.circuits import PretendTracing
from tests.app.pretend.clients import Client, filled


@pytest.fixture(scope="module")
def tracing() -> PretendTracing:
    return PretendTracing()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, tracing: PretendTracing) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("graphs"), tracing) as made:
        yield made


@pytest.fixture
def site(shared: Client, tracing: PretendTracing) -> Client:
    tracing.error = None
    tracing.asked.clear()
    return shared


@pytest.fixture(scope="module")
def kept(shared: Client) -> str:
    """The address of a graph, whose first dictionary is the store's own."""
    return f"/m/demo/graph/{shared.store.graphs.save(circuits.record(circuits.graph())).name}"
