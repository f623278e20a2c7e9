"""Chat templates: where they are found, and what they may not do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sae_core.errors import ChatError
from sae_core.text.chat import sandbox
from sae_core.text.chat.stops import StopTexts
from sae_core.text.chat.template import ChatTemplate, templates_in
from sae_core.text.chat.turns import Turn

TURNS = [Turn("user", "hello")]


def test_files_come_before_settings_and_several_have_names(tmp_path: Path) -> None:
    settings = {
        "bos_token": {"content": "<s>"},
        "chat_template": [
            {"name": "default", "template": "{{ bos_token }}one"},
            {"name": "tool_use", "template": "two"},
        ],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert set(templates_in(tmp_path)) == {"default", "tool_use"}
    assert ChatTemplate.of(tmp_path).render(TURNS) == "<s>one"
    assert ChatTemplate.of(tmp_path, "tool_use").render(TURNS) == "two"
    (tmp_path / "chat_template.jinja").write_text("three")
    assert ChatTemplate.of(tmp_path).render(TURNS) == "three"
    with pytest.raises(ChatError, match="no chat template 'tool_use': default"):
        ChatTemplate.of(tmp_path, "tool_use")


def test_a_folder_without_a_template_says_so(tmp_path: Path) -> None:
    with pytest.raises(ChatError, match="was not trained to chat"):
        ChatTemplate.of(tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% for m in messages %}", "broken in line 1"),
        ("{{ messages[0].content.lower( }}", "broken in line 1"),
        ("{{ 1 / 0 }}", "broken: division by zero"),
        ("{{ messages[0].nothing.at_all }}", "broken"),
        ("{{ raise_exception('no such thing') }}", "refuses this conversation: no such thing"),
        ("{{ messages.__class__.__mro__ }}", "stopped"),
        ("{{ messages.append(1) }}", "stopped"),
        ("{% for a in range(500) %}{% for b in range(500) %}{% endfor %}{% endfor %}", "steps"),
        ("{% for a in range(200000) %}{% endfor %}", "stopped"),
        ("{{ 'a' * 5000000 }}", "more than"),
        ("{{ 'a'.ljust(5000000) }}", "beyond"),
        ("{{ 'a' | center(5000000) }}", "beyond"),
        ("{{ '%5000000d' % 1 }}", "more than"),
        ("{{ '{:5000000}'.format(1) }}", "more than"),
        ("{{ 10 ** 1000 }}", "high power"),
        ("{% set n = namespace(_a=1) %}", "stopped"),
        (
            "{% set n = namespace(x='aa') %}{% for a in range(40) %}"
            "{% set n.x = n.x ~ n.x %}{% endfor %}",
            "more than",
        ),
        (
            "{% set n = namespace(x='aa') %}{% for a in range(40) %}"
            "{% set x %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = x %}{% endfor %}",
            "more than",
        ),
    ],
)
def test_a_template_that_is_broken_or_goes_too_far_is_refused(source: str, words: str) -> None:
    with pytest.raises(ChatError, match=words):
        ChatTemplate(source).render(TURNS)


def test_what_templates_of_models_use() -> None:
    source = (
        "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}"
        "{%- if loop.index0 > 1 %}{% break %}{% endif -%}{%- set ns.n = ns.n + 1 -%}"
        "{% generation %}{{ m['content'] | trim }}{% endgeneration %}"
        "{{ {'a': '<é>'} | tojson }}{{ dict(b=1) | tojson(indent=2) }}{{ strftime_now('%%') }}"
        "{%- endfor -%}{{ ns.n }}{{ tools is none }}"
    )
    assert ChatTemplate(source).render(TURNS) == 'hello{"a": "<é>"}{\n  "b": 1\n}%1True'


def test_a_template_is_stopped_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MOST_SECONDS", -1.0)
    with pytest.raises(ChatError, match="takes longer"):
        ChatTemplate("{{ 'a' }}{{ messages[0].content.upper() }}").render(TURNS)


@pytest.mark.parametrize("role", ["", "two words", "<|user|>", "a" * 33, "1st"])
def test_a_role_is_a_word(role: str) -> None:
    with pytest.raises(ChatError, match="is no role"):
        Turn(role, "hello")


def test_stop_texts_come_out_over_tokens_and_what_may_become_one_waits() -> None:
    text = StopTexts(["END", "\n\n"])
    settled = []
    for piece in ("a\n", "b E", "N", "x E", "ND", "more"):
        text.add(piece)
        settled.append(text.settled)
    assert settled == ["a", "a\nb ", "a\nb ", "a\nb ENx ", "a\nb ENx ", "a\nb ENx "]
    assert text.stopped
    assert text.whole == "a\nb ENx "
