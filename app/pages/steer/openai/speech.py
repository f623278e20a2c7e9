"""The worker's events as completions, whole or in chunks."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from app.pages.steer.openai.tasks import CompletionTask
from app.web.live.events import LiveEvent
from app.web.schema import floats
from app.worker.client.chats import WatchedTokens
from app.worker.protocol.chats import (
    ChatBegan,
    ChatEnd,
    ChatEnded,
    ChatRead,
    ChatStep,
)
from app.worker.protocol.events import Progress, Result

_FINISH = {ChatEnd.TOKEN: "stop", ChatEnd.STOP: "stop", ChatEnd.LENGTH: "length"}


class CompletionChunks(LiveEvent):
    """Chunks of one event, each a JSON document."""

    event: str = "chunks"
    chunks: tuple[str, ...]


class CompletionSpeech:
    """One completion as it grows."""

    def __init__(self, task: CompletionTask) -> None:
        self._task = task
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
        if isinstance(event, ChatBegan):
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
        return None

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
        spoken = [step for step in self._steps if step.string]
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
