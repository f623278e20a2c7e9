"""Where alarms are taken: kept in the store, written to the log, posted to a webhook.

Whoever raises an alarm puts it down and goes on; a thread of its own does the rest, one after the
other, so that a webhook that hangs delays no text.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from app.errors import NotFound
from app.settings import Settings
from app.store.store import Store
from app.store.written.audit.monitors.monitors import SENT
from app.store.written.audit.monitors.records import AlarmRecord
from app.worker.alarms.webhook import WebhookFailed, post

WAITING = 1_000  # alarms that wait at most
SECONDS = 5.0  # that a webhook may take
FULL = "too many alarms at once"

log = logging.getLogger(__name__)

Post = Callable[[dict[str, Any]], None]


class AlarmDesk:
    """Takes alarms; safe to share between threads.

    Args:
        store: where alarms are kept.
        post: posts an alarm to the webhook, or raises WebhookFailed; None: there is no webhook.
        waiting: alarms that wait for the webhook at most; those beyond it are kept without it.
    """

    def __init__(self, store: Store, post: Post | None = None, waiting: int = WAITING) -> None:
        self._store = store
        self._post = post
        self._box: queue.Queue[AlarmRecord | None] = queue.Queue()
        self._waiting = waiting
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, alarm: AlarmRecord) -> None:
        """Take an alarm, at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="alarms")
                self._thread.start()
        self._box.put(alarm)

    def close(self, seconds: float = 2 * SECONDS) -> None:
        """Wait until what was taken is done, but not for ever."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._box.put(None)
            thread.join(seconds)

    def _work(self) -> None:
        while (alarm := self._box.get()) is not None:
            try:
                self._done(alarm)
            except Exception:
                log.exception("an alarm could not be kept")

    def _done(self, alarm: AlarmRecord) -> None:
        log.warning(
            "monitor %s: alarm in %s of %s, level %.6g, %s",
            *(alarm.monitor, alarm.turn, alarm.source, alarm.level, alarm.action),
        )
        webhook = ""
        if self._post is not None:
            webhook = SENT
            try:
                if self._box.qsize() > self._waiting:
                    raise WebhookFailed(FULL)
                self._post(alarm_document(alarm))
            except WebhookFailed as error:
                webhook = str(error)
                log.warning("monitor %s: the webhook was not taken: %s", alarm.monitor, error)
        with suppress(NotFound):  # forgotten meanwhile
            self._store.audit.monitors.raise_alarm(alarm, webhook)


def alarm_desk(settings: Settings, store: Store) -> AlarmDesk:
    """The desk with the webhook that the settings name."""
    if settings.webhook is None:
        return AlarmDesk(store)
    url, private = settings.webhook.get_secret_value(), settings.webhook_private
    return AlarmDesk(store, lambda body: post(url, body, SECONDS, private))


def alarm_document(alarm: AlarmRecord) -> dict[str, Any]:
    """An alarm as a webhook is told of it."""
    before, token, behind = alarm.excerpt
    return {
        "monitor": alarm.monitor,
        "source": alarm.source,
        "turn": alarm.turn,
        "level": alarm.level,
        "action": alarm.action,
        "excerpt": {"before": before, "token": token, "behind": behind},
    }
