"""A monitor of the store as the worker takes it."""

from __future__ import annotations

from app.errors import InvalidRequest, NotFound
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.monitors.records import MonitorView
from app.worker.client.references import dictionary_ref
from app.worker.protocol.monitors import MonitorPool, WatchedMonitor, WeighedFeature


def monitored(store: Store, view: MonitorView) -> DictionaryView:
    """The dictionary that a monitor reads with, as it was then.

    Raises:
        NotFound: the store has it no longer.
        InvalidRequest: its weights, or the model's, are others now.
    """
    record = view.record
    try:
        dictionary = store.dictionary(record.model, record.dictionary)
    except NotFound as error:
        raise NotFound(
            f"The monitor {view.name!r:.80} reads {record.model}/{record.dictionary}, which the "
            "store has no longer: harvest it again, or make the monitor anew."
        ) from error
    if (dictionary.checksum, dictionary.model_checksum) != (
        record.checksum,
        record.details.model_checksum,
    ):
        raise InvalidRequest(
            f"The monitor {view.name!r:.80} was made with other weights than those that "
            f"{dictionary.title} has now: its threshold says nothing about them. Make it anew."
        )
    return dictionary


def watched_monitor(view: MonitorView, dictionary: DictionaryView) -> WatchedMonitor:
    """A monitor, with what `monitored` gave."""
    details = view.record.details
    return WatchedMonitor(
        name=view.name,
        dictionary=dictionary_ref(dictionary),
        members=tuple(
            WeighedFeature(feature=feature, weight=weight)
            for feature, weight in details.monitor.members
        ),
        direction=details.monitor.direction,
        offset=details.monitor.offset,
        pooling=MonitorPool(details.monitor.pooling),
        threshold=details.threshold.threshold,
    )
