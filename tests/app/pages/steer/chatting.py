"""A chat template and a tokenizer for the samples, whose model has no folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from tokenizers import AddedToken, Tokenizer, decoders, models

from app.pages.steer.chat import conversations
from app.pages.steer.chat.conversations import ChatFormat
from sae_core.text.chat.template import ChatTemplate
from tests.factories import PIECES

SOURCE = (
    "{% for m in messages %}{% if m.role == 'tool' %}"
    "{{ raise_exception('it has no role tool.') }}{% endif %}"
    "{{ '\\n' + m.content + '.' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\t' }}{% endif %}"
)
UNKNOWN = 16


def tokenizer() -> Tokenizer:
    """Cuts a text into the pieces of the samples, the longest first."""
    names = [piece.decode("utf-8", "replace") for piece in PIECES]
    for broken in (8, 9, 10):
        names[broken] += str(broken)
    made = Tokenizer(models.Unigram([(name, -1.0) for name in names], UNKNOWN, False))
    made.decoder = decoders.Fuse()
    made.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    return made


@contextmanager
def chatting(template: ChatTemplate | None = None) -> Iterator[None]:
    """Within the block, every model has this template; None: that of `SOURCE`."""
    used = ChatFormat(template or ChatTemplate(SOURCE), tokenizer())
    with patch.object(conversations, "_format", lambda *_: used):
        yield
