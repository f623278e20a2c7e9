"""From the events of a watched answer to the alarms that are kept."""

from __future__ import annotations

from app.store.written.audit.monitors.records import AlarmRecord
from app.worker.alarms.desk import AlarmDesk
from app.worker.client.chats import ChatTokens
from app.worker.protocol.chats import ChatBegan, ChatPane, ChatRequest, ChatStep
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.monitors import ChatAlarm

_AROUND = 200  # characters of an excerpt on either side
_ANSWER = -1


class AlarmEar:
    """Hears the events of one request, and puts its alarms down.

    Alarms of turns before the last are told, but were put down when these turns were the last.

    Args:
        desk: where alarms are taken.
        request: what was asked.
        source: where it was asked, such as `chat`.
    """

    def __init__(self, desk: AlarmDesk, request: ChatRequest, source: str) -> None:
        self._desk = desk
        self._request = request
        self._source = source
        self._tokens: ChatTokens | None = None
        self._said: dict[ChatPane, str] = dict.fromkeys(ChatPane, "")

    def hear(self, event: Result | Progress) -> None:
        """Remember what is said, and take an alarm."""
        if not self._request.monitors:
            return
        if isinstance(event, ChatBegan):
            self._tokens = ChatTokens.of(event)
        elif isinstance(event, ChatStep):
            pane = event.pane
            self._said[pane] = (self._said[pane] + event.string)[-2 * _AROUND :]
        elif isinstance(event, ChatAlarm) and event.turn in (_ANSWER, self._last_turn()):
            self._desk.take(self._record(event))

    def _last_turn(self) -> int:
        tokens = self._tokens
        if tokens is None or not (tokens.part == 0).any():
            return _ANSWER
        return int(tokens.turn[tokens.part == 0].max())

    def _record(self, event: ChatAlarm) -> AlarmRecord:
        before, behind = self._around(event)
        turn = "answer"
        if event.turn != _ANSWER:
            turns = self._request.turns
            turn = f"turn {event.turn + 1}, {turns[event.turn].role}" if turns else "prompt"
        if not self._request.alone:
            turn += f" ({event.pane})"
        return AlarmRecord(
            monitor=self._request.monitors[event.monitor].name,
            source=self._source,
            turn=turn,
            level=event.level,
            action=self._request.gate.value,
            excerpt=(before, event.string, behind),
        )

    def _around(self, event: ChatAlarm) -> tuple[str, str]:
        """The text before the token and behind it."""
        if event.turn == _ANSWER or self._tokens is None:
            said = self._said[ChatPane(event.pane)]
            at = said.rfind(event.string) if event.string else -1
            before, behind = (said, "") if at < 0 else (said[:at], said[at + len(event.string) :])
            return before[-_AROUND:], behind[:_AROUND]
        own = [
            (place, string)
            for place, string in enumerate(self._tokens.strings)
            if self._tokens.turn[place] == event.turn and self._tokens.part[place] == 0
        ]
        before = "".join(string for place, string in own if place < event.position)
        behind = "".join(string for place, string in own if place > event.position)
        return before[-_AROUND:], behind[:_AROUND]
