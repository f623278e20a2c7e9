"""A text read with a monitor, through the worker."""

from __future__ import annotations

from app.errors import InvalidRequest
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.monitors.records import MonitorView
from app.web.schema import whole
from app.web.site import Site
from app.worker.alarms.watched import monitored, watched_monitor
from app.worker.client.readings import MonitoredText
from app.worker.protocol.monitors import LONGEST_LEVEL_TEXT


def read_with(site: Site, view: MonitorView, text: str) -> tuple[DictionaryView, MonitoredText]:
    """The levels of a text, and the dictionary that they were read with.

    Raises:
        NotFound: the store has the dictionary no longer.
        InvalidRequest: it has other weights now, or the text is too long.
    """
    if len(text) > LONGEST_LEVEL_TEXT:
        raise InvalidRequest(
            f"The text has {len(text):,} characters; at most {LONGEST_LEVEL_TEXT:,} are read.",
            "text",
        )
    known = monitored(site.store, view)
    (read,) = site.prompts.levels(known, [watched_monitor(view, known)], [whole(text)])
    return known, read
