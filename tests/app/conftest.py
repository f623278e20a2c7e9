"""Fixtures that tests of the prompt page share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.pretend.clients import Client, filled
from tests.app.pretend.prompt_site import Prompts
from tests.app.pretend.prompts import PretendPrompts


@pytest.fixture(scope="module")
def pretend_prompts() -> PretendPrompts:
    return PretendPrompts()


@pytest.fixture(scope="module")
def prompt_client(
    tmp_path_factory: pytest.TempPathFactory, pretend_prompts: PretendPrompts
) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site"), pretend_prompts) as made:
        yield made


@pytest.fixture
def on(prompt_client: Client, pretend_prompts: PretendPrompts) -> Prompts:
    """A site whose worker is at its best and remembers nothing."""
    pretend_prompts.reset()
    prompt_client.forget_prompts()
    return Prompts(prompt_client, pretend_prompts)
