"""Monitors and a gate as they are asked for, with what the store knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.errors import InvalidRequest
from app.pages.steer.questions import Edit
from app.pages.steer.requests import edit_of, rows_of
from app.store.types.catalogue import DictionaryView
from app.web.model import AddressedModel
from app.worker.alarms.watched import monitored, watched_monitor
from app.worker.protocol.monitors import GateKind, WatchedMonitor
from app.worker.protocol.requests import SteerEdit


class Guarded(NamedTuple):
    """What the worker is told of monitors and gate.

    Attributes:
        monitors: that watch.
        edits: that the gate `steer` switches on.
        read: the dictionaries of both.
    """

    monitors: tuple[WatchedMonitor, ...]
    edits: tuple[SteerEdit, ...]
    read: tuple[DictionaryView, ...]


def guarded(
    model: AddressedModel, names: Sequence[str], gate: GateKind, edits: tuple[Edit, ...]
) -> Guarded:
    """The monitors of those names, and the gate's edits.

    Raises:
        NotFound: there is no such monitor, or its dictionary was removed.
        InvalidRequest: a monitor is of another model, its dictionary is another one now, or gate
            and edits contradict each other.
    """
    asked = tuple(edit for edit in edits if edit.on)
    if (gate is GateKind.STEER) != bool(asked):
        raise InvalidRequest(
            "The gate `steer` needs edits in gate_edits, and no other gate takes any.",
            "gate_edits",
        )
    if gate is not GateKind.MARK and not names:
        raise InvalidRequest("A gate needs a monitor that moves it.", "monitors")
    views = [model.store.audit.monitors.view(name) for name in dict.fromkeys(names)]
    for view in views:
        if view.record.model != model.name:
            raise InvalidRequest(
                f"The monitor {view.name!r:.80} watches {view.record.model}, not {model.name}.",
                "monitors",
            )
    known = [monitored(model.store, view) for view in views]
    rows = rows_of(model, asked)
    return Guarded(
        tuple(watched_monitor(view, one) for view, one in zip(views, known, strict=True)),
        tuple(edit_of(edit, model, row) for edit, row in zip(asked, rows, strict=True)),
        (*known, *(model.dictionary(edit.dictionary) for edit in asked)),
    )
