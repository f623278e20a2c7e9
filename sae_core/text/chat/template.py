"""A model's chat template: read from its folder, and rendered within bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError

from sae_core.errors import ChatError
from sae_core.text.chat.sandbox import Sandbox, bounded
from sae_core.text.chat.turns import Turn

LONGEST_TEMPLATE = 256 * 1024  # characters
_FILE = "chat_template.jinja"
_SETTINGS = "tokenizer_config.json"
_MARKS = "special_tokens_map.json"
_DEFAULT = "default"
_PLAIN = """\
{%- for message in messages -%}
{%- if message['role'] == 'system' -%}
{{ message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'user' -%}
{{ 'User: ' + message['content'] + '\\n' }}
{%- elif message['role'] == 'assistant' -%}
{{ 'Assistant: ' + message['content'] + '\\n' }}
{%- else -%}
{{ raise_exception('it knows the roles system, user and assistant.') }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}
"""


@dataclass(frozen=True)
class ChatTemplate:
    """A template, which writes a conversation as one text.

    Attributes:
        source: what it is written in, Jinja.
        marks: the control tokens that it may name, by their roles, such as `bos_token`.
        control_tokens: those that a turn's content never becomes, where the files list any besides
            the tokenizer's special ones.
        is_own: whether it is the model's own; else it is Featurescope's plain one, for a model that
            was not trained to chat.
        stops: texts that end an answer, where no token does.
    """

    source: str
    marks: Mapping[str, str] = field(default_factory=dict)
    control_tokens: tuple[str, ...] | None = None
    is_own: bool = True
    stops: tuple[str, ...] = ()

    @staticmethod
    def of(folder: Path, name: str | None = None) -> ChatTemplate:
        """The template in a model's folder.

        `chat_template.jinja` comes before `chat_template` in tokenizer_config.json, as it does in
        the transformers library; further ones lie in `additional_chat_templates`.

        Args:
            folder: the model's.
            name: of one of several templates; None: the one called default.

        Raises:
            ChatError: there is none, or no such one; or it is broken.
        """
        named = templates_in(folder)
        if not named:
            raise ChatError(
                f"{folder.name} has no chat template: it was not trained to chat. Use the plain "
                "template instead."
            )
        if (name or _DEFAULT) not in named:
            known = ", ".join(sorted(named))
            raise ChatError(f"{folder.name} has no chat template {name or _DEFAULT!r}: {known}.")
        settings = _json(folder / _SETTINGS)
        control = settings.get("chat_control_tokens")
        template = ChatTemplate(
            named[name or _DEFAULT],
            _marks(_json(folder / _MARKS)) | _marks(settings),
            tuple(map(str, control)) if isinstance(control, list) else None,
        )
        template._compiled  # noqa: B018 - says at once what is wrong with it
        return template

    @staticmethod
    def plain() -> ChatTemplate:
        """Featurescope's own: `User: …` and `Assistant: …`, a line each."""
        return ChatTemplate(_PLAIN, is_own=False, stops=("\nUser:",))

    def render(self, turns: Sequence[Turn], answering: bool = False) -> str:
        """The conversation as the template writes it, control tokens spelt out.

        Args:
            turns: who says what.
            answering: whether the head of the assistant's next turn comes last.

        Raises:
            ChatError: the template refuses the conversation, is broken, reaches for what it must
                not, or takes too long.
        """
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        variables = {
            "messages": messages,
            "tools": None,
            "documents": None,
            "add_generation_prompt": answering,
            **self.marks,
        }
        with bounded():
            try:
                return self._compiled.render(variables)
            except SecurityError as error:
                raise ChatError(f"The chat template was stopped: {error}.") from error
            except jinja2.UndefinedError as error:
                raise ChatError(f"The chat template is broken: {error}.") from error
            except jinja2.TemplateError as error:
                raise ChatError(
                    f"The chat template refuses this conversation: {error.message or 'no reason'}"
                ) from error
            except (RecursionError, MemoryError) as error:
                raise ChatError("The chat template was stopped: it goes too deep.") from error
            except Exception as error:  # whatever a broken program raises
                raise ChatError(f"The chat template is broken: {error}.") from error

    @cached_property
    def literals(self) -> str:
        """All text that the template may write of itself, pieces parted by NUL."""
        tree = self._compiled.environment.parse(self.source)
        written = {node.data for node in tree.find_all(nodes.TemplateData)}
        constants = {node.value for node in tree.find_all(nodes.Const)}
        return "\0".join(written | {value for value in constants if isinstance(value, str)})

    @cached_property
    def _compiled(self) -> jinja2.Template:
        if len(self.source) > LONGEST_TEMPLATE:
            raise ChatError(
                f"The chat template of {len(self.source):,} characters is longer than the "
                f"{LONGEST_TEMPLATE:,} taken at most."
            )
        try:
            return Sandbox().from_string(self.source)
        except jinja2.TemplateSyntaxError as error:
            raise ChatError(
                f"The chat template is broken in line {error.lineno}: {error.message}"
            ) from error
        except Exception as error:  # nested too deep for Jinja, or for Python
            raise ChatError(f"The chat template is broken: {error}.") from error


def templates_in(folder: Path) -> dict[str, str]:
    """The chat templates of a model's folder, by name; empty where it has none.

    Raises:
        ChatError: a file cannot be read.
    """
    own = _json(folder / _SETTINGS).get("chat_template")
    named: dict[str, str] = {}
    if isinstance(own, str):
        named[_DEFAULT] = own
    elif isinstance(own, dict):
        named = {str(name): str(source) for name, source in own.items()}
    elif isinstance(own, list):
        named = {
            str(each["name"]): str(each["template"])
            for each in own
            if isinstance(each, dict) and {"name", "template"} <= each.keys()
        }
    files = {_DEFAULT: folder / _FILE}
    files |= {path.stem: path for path in sorted(folder.glob("additional_chat_templates/*.jinja"))}
    # As in the transformers library: where there are files, they are all there is.
    in_files = {name: _text(path) for name, path in files.items() if path.is_file()}
    return in_files or named


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.read(LONGEST_TEMPLATE + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ChatError(f"{path} cannot be read ({error}): copy it again.") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ChatError(f"{path} cannot be read as JSON ({error}): copy it again.") from error
    return value if isinstance(value, dict) else {}


def _marks(settings: Mapping[str, Any]) -> dict[str, str]:
    """Tokens by role: `"bos_token": "<s>"`, or with its settings around it."""
    marks = {}
    for name, value in settings.items():
        if name.endswith("_token"):
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                marks[name] = text
    return marks
