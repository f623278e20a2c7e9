"""The messages: frozen, strict, exact, and free of functions and torch."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from app.errors import InvalidRequest
from app.worker.client.faults import read_event
from app.worker.process.failures import failure
from app.worker.protocol import events
from app.worker.protocol import requests as protocol
from app.worker.protocol.arrays import pack, unpack
from app.worker.protocol.events import (
    ContextDone,
    Done,
    DosePoint,
    Event,
    Failed,
    FailureCode,
    Progress,
)
from app.worker.protocol.requests import AblateRequest
from sae_core.harvest.records import ContextEffect
from tests.app.worker.workbenches import effect_of, request

COLUMNS = ("positions", "loss_change", "raised_ids", "raised", "lowered_ids", "lowered")


def equal(left: ContextEffect, right: ContextEffect) -> bool:
    """Bit for bit, with shapes and types."""
    return all(
        getattr(left, name).dtype == getattr(right, name).dtype
        and getattr(left, name).shape == getattr(right, name).shape
        and getattr(left, name).tobytes() == getattr(right, name).tobytes()
        for name in COLUMNS
    )


@pytest.mark.parametrize("tokens", [(), (7,), tuple(range(0, 4096, 37))])
def test_an_effect_travels_bit_for_bit(tokens: tuple[int, ...]) -> None:
    effect = effect_of(tokens)
    line = pack(3, effect).model_dump_json()
    event: Event = TypeAdapter(Event).validate_json(line)
    assert isinstance(event, ContextDone)
    assert event.index == 3
    assert equal(unpack(event), effect)


def test_extreme_numbers_survive() -> None:
    effect = effect_of([1, 2])
    values = np.array([np.finfo(np.float32).tiny, -np.inf], dtype=np.float32)
    effect = ContextEffect(
        effect.positions,
        values,
        effect.raised_ids,
        effect.raised,
        effect.lowered_ids,
        effect.lowered,
    )
    assert equal(unpack(pack(0, effect)), effect)


def test_what_is_no_number_survives() -> None:
    point = DosePoint(
        strength=9.0,
        kl=math.nan,
        perplexity=math.inf,
        activation=-math.inf,
        probabilities=(0.5, math.nan),
        distinct=0.5,
        text="",
    )
    line = point.model_dump_json()
    assert json.loads(line, parse_constant=pytest.fail)["kl"] == "NaN"
    event = read_event(line)
    assert isinstance(event, DosePoint)
    assert math.isnan(event.kl)
    assert (event.perplexity, event.activation) == (math.inf, -math.inf)
    assert event.probabilities[0] == 0.5
    assert math.isnan(event.probabilities[1])


def test_a_refusal_names_its_field() -> None:
    line = failure(InvalidRequest("No.", "edits.2")).model_dump_json()
    with pytest.raises(InvalidRequest, match=r"No\.") as refused:
        read_event(line)
    assert refused.value.field == "edits.2"


def test_columns_of_different_length_are_refused() -> None:
    message = pack(0, effect_of([1, 2]))
    for name in COLUMNS[1:]:
        with pytest.raises(ValueError):
            unpack(message.model_copy(update={name: getattr(message, name)[:-4]}))


def test_a_line_is_small() -> None:
    line = pack(0, effect_of(tuple(range(128)))).model_dump_json()
    assert len(line) < 16_000


@pytest.mark.parametrize("event", [Progress(done=1, total=2), Done(), pack(0, effect_of([1]))])
def test_the_event_field_tells_the_type(event: Event) -> None:
    assert TypeAdapter(Event).validate_json(event.model_dump_json()) == event


def test_messages_are_frozen_and_know_their_fields() -> None:
    message = request([1])
    with pytest.raises(ValidationError):
        message.feature = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="extra"):
        Done.model_validate({"event": "done", "surprise": 1})
    assert AblateRequest.model_validate_json(message.model_dump_json()) == message


@pytest.mark.parametrize(
    "change",
    [
        {"feature": -1},
        {"contexts": []},
        {"contexts": [[-1]]},
        {"contexts": [["a"]]},
        {"deadline_seconds": 0},
        {"model": {"path": "", "checksum": "x"}},
    ],
)
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AblateRequest.model_validate(request([1]).model_dump() | change)


@pytest.mark.parametrize("module", [protocol, events])
def test_protocol_has_no_functions(module: ModuleType) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_every_failure_can_be_said() -> None:
    for code in FailureCode:
        failed = Failed(code=code, message="A sentence.")
        assert TypeAdapter(Event).validate_json(failed.model_dump_json()) == failed
