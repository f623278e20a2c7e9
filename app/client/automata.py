"""Automata of features from Python. Twins of the JSON interface."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from pydantic import BaseModel, TypeAdapter

from app.client.transport import Transport
from app.pages.dictionary.automata import schema as types

Stream = Callable[[str, BaseModel | None, TypeAdapter[Any]], Generator[Any, None, None]]


class AutomataClient:
    """Features that write each other's tokens. Reached as `FeaturescopeClient.automata`.

    Every method raises RequestFailed where the server refuses or cannot be reached.

    Args:
        transport: of the questions.
        stream: asks one question at an address, and yields its events.
    """

    def __init__(self, transport: Transport, stream: Stream) -> None:
        self._transport = transport
        self._stream = stream

    def all(self, model: str, dictionary: str, feature: int | None = None) -> types.AutomataAnswer:
        """The automata of a dictionary, those that come back to themselves first.

        Args:
            model: name of the model.
            dictionary: name of the dictionary.
            feature: that they must have; None: any.
        """
        query = {} if feature is None else {"feature": str(feature)}
        address = self._address(model, dictionary, **query)
        return self._transport.ask("GET", address, types.AutomataAnswer)

    def of(self, model: str, dictionary: str, name: str) -> types.AutomatonAnswer:
        """One automaton, named by its features' numbers such as 2-8."""
        address = self._address(model, dictionary, name)
        return self._transport.ask("GET", address, types.AutomatonAnswer)

    def check(
        self, model: str, dictionary: str, name: str, source: int, target: int
    ) -> Generator[
        types.TrialProgressEvent | types.TrialArmEvent | types.TrialReadyEvent, None, None
    ]:
        """Check a step by steering its source: what comes of each way to treat the contexts, and
        in the end the verdict, which is kept. Closing the iterator ends the work."""
        address = self._address(model, dictionary, name, source, target)
        return self._stream(address, None, TypeAdapter(types.TrialEvent))

    def _address(self, model: str, dictionary: str, *rest: object, **query: str) -> str:
        return self._transport.address("d", model, dictionary, "automata", *rest, **query)
