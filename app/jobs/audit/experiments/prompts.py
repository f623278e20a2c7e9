"""Prompts of an experiment, from a file: every line is checked before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.store.written.audit.experiments.records import Said

MOST_PROMPTS = 100_000
LONGEST_PROMPT = 200_000  # characters
LARGEST_FILE = 256 * 2**20  # bytes
_AS_JSON = (".jsonl", ".ndjson", ".json")
_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class FilePrompt:
    """One prompt.

    Attributes:
        line: of its file, from 1.
        said: a plain text, or the turns of a conversation.
        fields: what else its line says: texts alone.
    """

    line: int
    said: Said
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptFile:
    """All prompts of a file.

    Attributes:
        name: of the file.
        prompts: in its order.
        checksum: SHA-256 of what they say.
        equal: prompts that say what an earlier one says.
    """

    name: str
    prompts: tuple[FilePrompt, ...]
    checksum: str
    equal: int


def read_prompts(path: Path, fields: Sequence[str] = ()) -> PromptFile:
    """The prompts of a file: one a line, or JSON lines with "text" or "messages".

    Args:
        path: of the file; JSON lines where its name ends in .jsonl, .ndjson or .json.
        fields: that every line has to have besides, as texts.

    Raises:
        InvalidRequest: it cannot be read, or a line is broken; the sentence names the line.
    """
    lines = read_lines(path)
    as_json = path.suffix.lower() in _AS_JSON
    prompts = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        prompts.append(
            _from_json(line, number, path.name, fields) if as_json else FilePrompt(number, line)
        )
    if not as_json and fields:
        raise InvalidRequest(
            f"The outcome asks for the field {fields[0]!r:.80} of each prompt: give the prompts as "
            "JSON lines."
        )
    if len(prompts) > MOST_PROMPTS:
        raise InvalidRequest(
            f"{path.name} has {len(prompts):,} prompts; an experiment has at most {MOST_PROMPTS:,}."
        )
    return prompt_file(path.name, prompts)


def prompt_file(name: str, prompts: Sequence[FilePrompt]) -> PromptFile:
    """Prompts with their checksum.

    Raises:
        InvalidRequest: one of them is too long.
    """
    said = []
    for prompt in prompts:
        said.append(json.dumps([prompt.said, dict(prompt.fields)], sort_keys=True))
        if len(said[-1]) > LONGEST_PROMPT:
            raise InvalidRequest(
                f"Line {prompt.line} of {name} is longer than {LONGEST_PROMPT:,} characters."
            )
    checksum = hashlib.sha256("\n".join(said).encode()).hexdigest()
    return PromptFile(name, tuple(prompts), checksum, len(said) - len(set(said)))


def read_lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        InvalidRequest: it cannot be read as text, or is too large.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InvalidRequest(f"{path.name} is larger than {LARGEST_FILE // 2**20} MiB.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read as text: {error}.") from error
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def _from_json(line: str, number: int, name: str, fields: Sequence[str]) -> FilePrompt:
    where = f"Line {number} of {name}"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{where} is not JSON; nothing was run.") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f'{where} is no object with "text" or "messages"; nothing was run.')
    own = {}
    for wanted in fields:
        if not isinstance(value.get(wanted), str) or not value[wanted]:
            raise InvalidRequest(
                f"{where} has no text in the field {wanted!r:.80}, which an outcome asks for; "
                "nothing was run."
            )
        own[wanted] = value[wanted]
    text = value.get("text")
    if isinstance(text, str) and "messages" not in value:
        return FilePrompt(number, text, own)
    return FilePrompt(number, _turns(value.get("messages"), where), own)


def _turns(messages: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest(
            f'{where} needs either a "text" or "messages", a list of roles and contents; nothing '
            "was run."
        )
    turns = []
    for message in messages:
        role, content = (
            (message.get("role"), message.get("content"))
            if isinstance(message, dict)
            else (None, None)
        )
        if role not in _ROLES or not isinstance(content, str):
            raise InvalidRequest(
                f"{where} has a message that is none: each has a role ({', '.join(_ROLES)}) and a "
                "content, a text; nothing was run."
            )
        turns.append((role, content))
    return tuple(turns)
