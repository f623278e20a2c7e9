"""Watching a stream of texts with monitors: a line in, a line out."""

from __future__ import annotations

import json
import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from app.errors import FeaturescopeError, InvalidRequest
from app.settings import Settings
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.monitors.records import AlarmRecord, MonitorView
from app.worker.alarms.watched import monitored, watched_monitor
from app.worker.client.references import check_alike, dictionary_ref, model_ref
from app.worker.process.jobs.levels import level_readers
from app.worker.process.jobs.registry import default_threads
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.chats import MOST_TURNS
from app.worker.protocol.monitors import LONGEST_LEVEL_TEXT, MOST_MONITORS
from sae_core.audit.monitors.levels import LevelReader, TextLevels, read_levels, text_pieces
from sae_core.audit.monitors.monitor import Numbers
from sae_core.errors import FeaturescopeError as CoreError
from sae_core.language_model.model import LanguageModel
from sae_core.text.chat.conversation import Conversation, converse
from sae_core.text.chat.template import ChatTemplate, templates_in
from sae_core.text.chat.turns import Turn

AT_ONCE = 64  # lines that are read together, where so many wait
LONGEST_LINE = 8 * 2**20  # bytes
SHOWN_TOKENS = 5  # of those that raised an alarm
_AROUND = 200  # characters of an excerpt on either side

Take = Callable[[AlarmRecord], None]


class WatchedLine(NamedTuple):
    """One line of the stream.

    Attributes:
        number: from 1.
        text: of it; None: it was too long.
    """

    number: int
    text: str | None


@dataclass(frozen=True)
class _Part:
    """What is judged by itself: a text, or a turn of a conversation.

    Attributes:
        role: of the turn; empty: it is a text.
        turn: its number; -1: it is a text.
        here: which tokens of the line are its, bool [n].
    """

    role: str
    turn: int
    here: NDArray[np.bool_]


class StreamWatch:
    """Monitors of one model, loaded.

    Args:
        settings: device and threads.
        store: of monitors and dictionaries.
        names: of the monitors.
        take: told of each alarm.

    Raises:
        NotFound: there is no such monitor, or its dictionary was removed.
        InvalidRequest: they are of several models, or a dictionary is another one now.
    """

    def __init__(self, settings: Settings, store: Store, names: Sequence[str], take: Take) -> None:
        self._views = [store.audit.monitors.view(name) for name in dict.fromkeys(names)]
        if len(self._views) > MOST_MONITORS:
            raise InvalidRequest(f"At most {MOST_MONITORS} monitors watch one stream.")
        known = [monitored(store, view) for view in self._views]
        if len({view.model_id for view in known}) > 1:
            raise InvalidRequest(
                "Monitors of several models cannot read one stream: give those of one model."
            )
        check_alike(known, "monitors")
        torch.set_num_threads(settings.worker_threads or default_threads())
        self.model, self._readers = _opened(settings, self._views, known)
        self._take = take
        self._template = _template(self.model)

    def answers(self, lines: Sequence[WatchedLine]) -> Iterator[dict[str, Any]]:
        """What is said of some lines, in order; one that is broken is said to be."""
        texts = list[list[list[int]]]()
        read: list[tuple[WatchedLine, Conversation | str]] = []
        for line in lines:
            asked = self._asked(line)
            texts.append(self._pieces(asked))
            read.append((line, asked))
        levels = read_levels(self.model, self._readers, texts)
        for (line, asked), one in zip(read, levels, strict=True):
            if isinstance(asked, _Broken):
                yield {"line": line.number, "error": asked.why}
            else:
                yield {"line": line.number} | self._said(line, asked, one)

    def _asked(self, line: WatchedLine) -> Conversation | str:
        """A line's text or conversation, or why there is none."""
        try:
            asked = _asked(line)
            if isinstance(asked, str):
                return asked
            said = converse(
                self._template,
                self.model.tokenizer,
                asked,
                bos=self.model.vocabulary.bos,
                answering=False,
            )
            if len(said) > self.model.n_ctx:
                raise InvalidRequest(
                    f"The conversation has {len(said):,} tokens; the model takes "
                    f"{self.model.n_ctx:,}."
                )
        except (FeaturescopeError, CoreError) as error:
            return _Broken(str(error))
        return said

    def _pieces(self, asked: Conversation | str) -> list[list[int]]:
        if isinstance(asked, _Broken):
            return []
        if isinstance(asked, str):
            return text_pieces(self.model, asked)
        return [asked.tokens.tolist()]

    def _said(
        self, line: WatchedLine, asked: Conversation | str, read: TextLevels
    ) -> dict[str, Any]:
        parts = [_Part("", -1, read.is_text)]
        if not isinstance(asked, str):
            turns = np.unique(asked.turn[asked.is_content]).tolist()
            parts = [
                _Part(asked.turns[turn].role, turn, asked.is_content & (asked.turn == turn))
                for turn in turns
            ]
        said = []
        for view, reader, levels in zip(self._views, self._readers, read.levels, strict=True):
            judged = [self._judged(line, view, reader, levels, part, read) for part in parts]
            strongest = max(judged, key=lambda one: (one["alarm"], _or_lowest(one["level"])))
            turns = {} if isinstance(asked, str) else {"turns": judged}
            said.append(
                {"name": view.name}
                | ({"level": None, "alarm": False} if not judged else strongest)
                | {"threshold": view.record.details.threshold.threshold}
                | turns
            )
        return {"alarm": any(one["alarm"] for one in said), "monitors": said}

    def _judged(
        self,
        line: WatchedLine,
        view: MonitorView,
        reader: LevelReader,
        levels: Numbers,
        part: _Part,
        read: TextLevels,
    ) -> dict[str, Any]:
        """The level of a text or turn, whether it raises the alarm, and the tokens that did it."""
        threshold = view.record.details.threshold.threshold
        places = np.flatnonzero(part.here)
        own = reader.monitor.pooling.of(levels[places])
        alarm = own > threshold
        strongest = places[np.argsort(-levels[places], kind="stable")][:SHOWN_TOKENS].tolist()
        strings = self._strings(read.tokens)
        if alarm:
            peak = strongest[0]
            turn = f"line {line.number}" + (f", {part.role}" if part.role else "")
            before = "".join(strings[at] for at in places.tolist() if at < peak)[-_AROUND:]
            behind = "".join(strings[at] for at in places.tolist() if at > peak)[:_AROUND]
            excerpt = (before, strings[peak], behind)
            self._take(AlarmRecord(view.name, "watch", turn, own, "mark", excerpt))
        return {
            **({"turn": part.turn, "role": part.role} if part.role else {}),
            "level": None if math.isnan(own) else own,
            "alarm": alarm,
            "tokens": [
                {"token": strings[at], "position": at, "level": float(levels[at])}
                for at in strongest
                if alarm
            ],
        }

    def _strings(self, tokens: NDArray[np.int64]) -> list[str]:
        pieces = self.model.vocabulary.pieces
        return [pieces[token].decode("utf-8", "replace") for token in tokens.tolist()]


class _Broken(str):
    """A line that cannot be read; the text is why."""

    __slots__ = ()

    @property
    def why(self) -> str:
        """What is wrong with it."""
        return str(self)


def waiting_lines(stream: BinaryIO) -> Iterator[list[WatchedLine]]:
    """The lines of a stream as they come: all that wait, up to `AT_ONCE`; empty ones are left out.

    A thread of its own reads, so that lines that come while others are worked on are read together.
    """
    box: queue.Queue[WatchedLine | None] = queue.Queue(4 * AT_ONCE)
    threading.Thread(target=_fill, args=(stream, box), daemon=True, name="lines").start()
    ended = False
    while not ended:
        lines = [box.get()]
        while len(lines) < AT_ONCE and not box.empty():
            lines.append(box.get())
        ended = lines[-1] is None
        if some := [line for line in lines if line is not None]:
            yield some


def _fill(stream: BinaryIO, box: queue.Queue[WatchedLine | None]) -> None:
    number = 0
    try:
        while raw := stream.readline(LONGEST_LINE + 1):
            number += 1
            too_long = len(raw) > LONGEST_LINE
            while too_long and raw and not raw.endswith(b"\n"):
                raw = stream.readline(LONGEST_LINE)
            if too_long:
                box.put(WatchedLine(number, None))
            elif raw.strip():
                box.put(WatchedLine(number, raw.decode("utf-8", "replace")))
    except (OSError, ValueError):  # the stream was closed under us
        pass
    finally:
        box.put(None)


def _asked(line: WatchedLine) -> str | list[Turn]:
    """A line's text, or the turns of its conversation.

    Raises:
        InvalidRequest: it has neither.
    """
    if line.text is None:
        raise InvalidRequest(f"The line has more than {LONGEST_LINE // 2**20} MiB.")
    try:
        value = json.loads(line.text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The line is not JSON.") from error
    if isinstance(value, dict) and isinstance(text := value.get("text"), str):
        if len(text) > LONGEST_LEVEL_TEXT:
            raise InvalidRequest(
                f"The text has {len(text):,} characters; at most {LONGEST_LEVEL_TEXT:,} are read."
            )
        return text
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list) or not 0 < len(messages) <= MOST_TURNS:
        raise InvalidRequest('The line is no object with a "text" or with "messages".')
    turns = []
    for number, message in enumerate(messages, 1):
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(role, str) or not isinstance(content, str):
            raise InvalidRequest(f'Message {number} has no "role" and "content" of text.')
        turns.append(Turn(role, content))
    if sum(len(turn.content) for turn in turns) > LONGEST_LEVEL_TEXT:
        raise InvalidRequest(f"The conversation has more than {LONGEST_LEVEL_TEXT:,} characters.")
    return turns


def _or_lowest(level: float | None) -> float:
    return -math.inf if level is None else level


def _opened(
    settings: Settings, views: Sequence[MonitorView], known: Sequence[DictionaryView]
) -> tuple[LanguageModel, tuple[LevelReader, ...]]:
    """The model and the monitors on it."""
    shelf, ref = Shelf(settings.device, Limits().memory_bytes), model_ref(known[0])
    watched = [watched_monitor(view, one) for view, one in zip(views, known, strict=True)]
    refs = dict.fromkeys(dictionary_ref(one) for one in known)
    dictionaries = {one: shelf.dictionary(ref, one) for one in refs}
    model = shelf.model(ref)
    return model, level_readers(model, dictionaries, watched)


def _template(model: LanguageModel) -> ChatTemplate:
    folder = Path(model.path)
    return ChatTemplate.of(folder) if templates_in(folder) else ChatTemplate.plain()
