"""The worker's events as completions, whole or in chunks."""

from __future__ import annotations

import json
import math
import time
import uuid
from typing import Any

from app.pages.steer.openai.tasks import CompletionTask
from app.web.live.events import LiveEvent
from app.web.schema import floats
from app.worker.alarms.hearing import AlarmEar
from app.worker.client.chats import WatchedTokens
from app.worker.protocol.arrays import unpack_float32
from app.worker.protocol.chats import (
    ChatBegan,
    ChatEnd,
    ChatEnded,
    ChatRead,
    ChatStep,
)
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.monitors import ChatAlarm, ChatJudged

_FINISH = {
    ChatEnd.TOKEN: "stop",
    ChatEnd.STOP: "stop",
    ChatEnd.LENGTH: "length",
    ChatEnd.REFUSED: "content_filter",
}


class CompletionChunks(LiveEvent):
    """Chunks of one event, each a JSON document."""

    event: str = "chunks"
    chunks: tuple[str, ...]


class CompletionSpeech:
    """One completion as it grows.

    Args:
        task: what was asked.
        ear: puts alarms down.
    """

    def __init__(self, task: CompletionTask, ear: AlarmEar) -> None:
        self._task = task
        self._ear = ear
        self._alarms: list[ChatAlarm] = []
        self._judged: list[ChatJudged] = []
        self._began: ChatBegan | None = None
        self._ended: ChatEnded | None = None
        self._steps: list[ChatStep] = []
        self._told = ""
        self._read: list[WatchedTokens] = []
        kind = "chat.completion" if task.is_chat else "text_completion"
        self._kind = kind
        self._head = {
            "id": f"{'chatcmpl' if task.is_chat else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": task.model,
            "system_fingerprint": f"fs-{task.request.model.checksum[:12]}",
        }

    def hear(self, event: Result | Progress) -> None:
        """Remember what an event says."""
        self._ear.hear(event)
        if isinstance(event, ChatAlarm):
            self._alarms.append(event)
        elif isinstance(event, ChatJudged):
            self._judged.append(event)
        elif isinstance(event, ChatBegan):
            self._began = event
        elif isinstance(event, ChatStep):
            self._steps.append(event)
        elif isinstance(event, ChatRead):
            self._read.append(WatchedTokens.of(event))
        elif isinstance(event, ChatEnded):
            self._ended = event

    def say(self, event: Result | Progress) -> CompletionChunks | None:
        """The chunks that an event makes, if any."""
        self.hear(event)
        if isinstance(event, ChatBegan) and self._task.is_chat:
            return self._chunks([self._choice("", None, role="assistant")])
        if isinstance(event, ChatStep):
            text = event.text[len(self._told) :]
            self._told = event.text
            # The token that ends an answer says nothing.
            return self._chunks([self._choice(text, event)]) if text or event.string else None
        if isinstance(event, ChatAlarm):
            chunk = self._chunk([]) | {"featurescope": {"alarm": self._alarm(event)}}
            return CompletionChunks(chunks=(json.dumps(chunk),))
        if isinstance(event, ChatEnded) and event.why is ChatEnd.REFUSED:
            # What was said before the alarm cannot be taken back from a stream.
            words = f"\n\n{event.text}" if self._told else event.text
            return self._chunks([self._spoken(words)])
        return None

    def _spoken(self, words: str) -> dict[str, Any]:
        """Words of ours, no token of the model."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": None, "logprobs": None}
        return choice | ({"delta": {"content": words}} if self._task.is_chat else {"text": words})

    def _alarm(self, event: ChatAlarm) -> dict[str, Any]:
        own = self._task.request.monitors[event.monitor]
        return {
            "monitor": own.name,
            "turn": None if event.turn < 0 else event.turn,
            "level": event.level,
            "threshold": own.threshold,
            "gate": self._task.request.gate.value,
        }

    def _monitored(self, number: int) -> dict[str, Any]:
        """What one monitor said of each turn and of the answer."""
        own = self._task.request.monitors[number]
        turns = []
        for judged in self._judged:
            level = judged.levels[number]
            tokens = unpack_float32(judged.tokens).reshape(len(judged.levels), -1)[number]
            refused = judged.turn < 0 and self._finish == _FINISH[ChatEnd.REFUSED]
            turns.append(
                {
                    "turn": None if judged.turn < 0 else judged.turn,
                    "level": None if math.isnan(level) else level,
                    "alarm": level > own.threshold,
                    "tokens": [] if refused else floats(tokens),
                }
            )
        alarm = any(event.monitor == number for event in self._alarms)
        return {"name": own.name, "threshold": own.threshold, "alarm": alarm, "turns": turns}

    def last(self) -> CompletionChunks:
        """The chunks at the end: why it ended, what was watched, how many tokens there were."""
        end = self._choice("", None) | {"finish_reason": self._finish}
        chunks = [self._chunk([end]) | {"featurescope": self._extension()}]
        if self._task.usage:
            chunks.append(self._chunk([]) | {"usage": self._usage()})
        return CompletionChunks(chunks=tuple(map(json.dumps, chunks)))

    def whole(self) -> dict[str, Any]:
        """All of it, after the last event."""
        text = self._ended.text if self._ended else ""
        refused = bool(self._ended and self._ended.why is ChatEnd.REFUSED)
        spoken = [step for step in self._steps if step.string and not refused]
        choice: dict[str, Any] = {"index": 0, "finish_reason": self._finish, "logprobs": None}
        if self._task.is_chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
            if self._task.logprobs:
                choice["logprobs"] = _chat_logprobs(spoken)
        else:
            choice["text"] = text
            if self._task.logprobs:
                choice["logprobs"] = _text_logprobs(spoken, 0)
        return {
            **self._head,
            "object": self._kind,
            "choices": [choice],
            "usage": self._usage(),
            "featurescope": self._extension(),
        }

    @property
    def _finish(self) -> str:
        return _FINISH[self._ended.why] if self._ended else "length"

    def _chunks(self, choices: list[dict[str, Any]]) -> CompletionChunks:
        return CompletionChunks(chunks=(json.dumps(self._chunk(choices)),))

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = f"{self._kind}.chunk" if self._task.is_chat else self._kind
        chunk = {**self._head, "object": kind, "choices": choices}
        return chunk | ({"usage": None} if self._task.usage else {})

    def _choice(self, text: str, step: ChatStep | None, role: str = "") -> dict[str, Any]:
        spoken = [step] if step is not None and step.string and self._task.logprobs else []
        choice: dict[str, Any] = {"index": 0, "finish_reason": None, "logprobs": None}
        if self._task.is_chat:
            delta = {"role": role, "content": text} if role else {"content": text}
            if spoken:
                choice["logprobs"] = _chat_logprobs(spoken)
            return choice | {"delta": delta if role or step else {}}
        if spoken:
            begin = sum(len(each.string) for each in self._steps[:-1])
            choice["logprobs"] = _text_logprobs(spoken, begin)
        return choice | {"text": text}

    def _usage(self) -> dict[str, int]:
        read = len(self._began.strings) if self._began else 0
        written = len(self._steps)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }

    def _extension(self) -> dict[str, Any]:
        """What Featurescope adds."""
        began = self._began
        n = len(began.strings) if began else 0
        return {
            "own_template": bool(began and began.own_template),
            "bos_added": bool(began and began.bos_added),
            "control_tokens_in_contents": began.n_marks if began else 0,
            "tokens_per_second": self._ended.tokens_per_second if self._ended else None,
            "traits": [
                {"name": name, **_parted(self._levels(number), n)}
                for number, name in enumerate(self._task.traits)
            ],
            "watch": [
                {"dictionary": name, **_parted(self._strongest(number), n)}
                for number, name in enumerate(self._task.watched)
            ],
            "monitors": [self._monitored(n) for n in range(len(self._task.monitors))],
        }

    def _levels(self, trait: int) -> list[float]:
        return [level for read in self._read for level in floats(read.levels[trait])]

    def _strongest(self, dictionary: int) -> list[list[dict[str, Any]]]:
        tokens = []
        for read in self._read:
            columns = zip(read.features[dictionary], read.activations[dictionary], strict=True)
            for features, values in columns:
                pairs = zip(features.tolist(), floats(values), strict=True)
                tokens.append([{"feature": f, "activation": a} for f, a in pairs if f >= 0])
        return tokens


def _parted(tokens: list[Any], n: int) -> dict[str, list[Any]]:
    """What was asked apart from what was answered."""
    return {"prompt": tokens[:n], "answer": tokens[n:]}


def _bytes(string: str) -> list[int] | None:
    """A token's bytes; None where it holds a part of a character."""
    return None if "\ufffd" in string else list(string.encode())


def _chat_logprobs(steps: list[ChatStep]) -> dict[str, Any]:
    content = [
        {
            "token": step.string,
            "logprob": step.log_probability,
            "bytes": _bytes(step.string),
            "top_logprobs": [
                {
                    "token": other.string,
                    "logprob": other.log_probability,
                    "bytes": _bytes(other.string),
                }
                for other in step.alternatives
            ],
        }
        for step in steps
    ]
    return {"content": content, "refusal": None}


def _text_logprobs(steps: list[ChatStep], begin: int) -> dict[str, Any]:
    offsets = []
    for step in steps:
        offsets.append(begin)
        begin += len(step.string)
    best = [{other.string: other.log_probability for other in step.alternatives} for step in steps]
    return {
        "tokens": [step.string for step in steps],
        "token_logprobs": [step.log_probability for step in steps],
        "top_logprobs": best,
        "text_offset": offsets,
    }
