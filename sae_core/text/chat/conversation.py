"""A conversation, token for token: what each token is, and whose turn it belongs to.

1. The contents' control tokens are marked, so that they are read as plain text: nobody can close a
   turn, or open another, by what is said in one. This is what `apply_chat_template` of transformers
   gives with `sanitize_control_tokens=True`, and where no content holds such a token, what it gives
   without.
2. The template writes the text. It is written once more with a private-use character on both sides
   of each content; where taking these out gives the very text, they say where the contents are.
   Otherwise they are put inside the blanks around the contents, which many templates take off; and
   else each content is looked for behind the one before it.
3. The text is cut at the marks and tokenized, with the offsets of each token.
4. A turn begins where the text of the turns before it ends, if that is how the whole text begins;
   else behind the content before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from sae_core.errors import ChatError
from sae_core.text.chat.template import ChatTemplate
from sae_core.text.chat.turns import TokenPart, Turn

NOBODY = -1
MOST_TURNS = 500
# Private-use characters around what is to be read as plain text, those of transformers.
_START, _END = "\U000f0000", "\U000f0001"
_FIRST, _LAST = "\U0010fffc", "\U0010fffd"  # around a content


@dataclass(frozen=True)
class Conversation:
    """What a model reads of a conversation.

    Attributes:
        turns: who says what.
        tokens: ids, int64 [n]. Where the model's tokenizer opens texts with BOS, there is one at
            the beginning, never two.
        turn: number of the turn that each token belongs to, int32 [n]; -1: none (BOS). The head of
            an answer that is to come belongs to the turn after the last.
        part: what each token is, a `TokenPart`, int8 [n]. A token with a character of a content is
            content, even where it begins with a blank of the template's.
        bos_added: whether BOS is ours, because the template writes none.
        n_marks: control tokens that stand in contents, and are read as plain text there.
    """

    turns: tuple[Turn, ...]
    tokens: NDArray[np.int64]
    turn: NDArray[np.int32]
    part: NDArray[np.int8]
    bos_added: bool
    n_marks: int

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def is_content(self) -> NDArray[np.bool_]:
        """Of each token, whether it is what somebody says, [n]."""
        content: NDArray[np.bool_] = self.part == TokenPart.CONTENT
        return content


def converse(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    turns: Sequence[Turn],
    *,
    bos: int | None = None,
    answering: bool = True,
) -> Conversation:
    """The tokens of a conversation.

    Args:
        template: how the model has conversations.
        tokenizer: the model's, whose settings stay as they are.
        turns: who says what, at least one.
        bos: the token that opens every text of this model; None: none is put before what the
            template writes.
        answering: whether the head of the assistant's next turn comes last.

    Raises:
        ChatError: the template makes nothing of the conversation, or leaves a turn out.
    """
    if not 0 < len(turns) <= MOST_TURNS:
        raise ChatError(f"A conversation has 1 to {MOST_TURNS} turns; this one has {len(turns)}.")
    # Mark what is plain text.
    control = _control_tokens(template, tokenizer)
    marked = [replace(turn, content=_marked(turn.content, control)) for turn in turns]
    text = template.render(marked, answering)
    # Find contents and turns in the text.
    spans = _spans(template, marked, text, answering)
    starts = _starts(template, marked, text, spans, answering)
    # Tokenize, and say of each token what it is.
    ids, begins, ends = _encoded(tokenizer, text)
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    content = _within(spans, begins, ends, len(text))
    part = np.full(len(ids), TokenPart.TEMPLATE, dtype=np.int8)
    part[content >= 0] = TokenPart.CONTENT
    part[[token in special or token == bos for token in ids]] = TokenPart.SPECIAL
    turn = np.searchsorted(starts, begins, side="right").astype(np.int32) - 1
    turn = np.where(part == TokenPart.CONTENT, content, turn)
    return _opened(
        Conversation(
            turns=tuple(turns),
            tokens=np.array(ids, dtype=np.int64),
            turn=turn.astype(np.int32),
            part=part,
            bos_added=False,
            n_marks=sum(turn.content.count(_START) for turn in marked),
        ),
        bos,
        tokenizer.token_to_id(template.marks.get("bos_token", "")),
    )


def plain_text(tokens: NDArray[np.int64], special: frozenset[int]) -> Conversation:
    """A text that no template has written: one turn, of which all but special tokens is content."""
    is_special = np.isin(tokens, sorted(special))
    return Conversation(
        turns=(),
        tokens=tokens,
        turn=np.where(is_special, NOBODY, 0).astype(np.int32),
        part=np.where(is_special, TokenPart.SPECIAL, TokenPart.CONTENT).astype(np.int8),
        bos_added=False,
        n_marks=0,
    )


def end_of_turn(template: ChatTemplate, tokenizer: Tokenizer) -> int | None:
    """The control token behind what an assistant says, which ends an answer; None: there is none.

    Raises:
        ChatError: the template makes nothing of a question and its answer.
    """
    turns = (Turn("user", "a"), Turn("assistant", "b"))
    whole = converse(template, tokenizer, turns, answering=False)
    last = np.flatnonzero((whole.turn == 1) & whole.is_content)
    behind = whole.tokens[last[-1] + 1 :][whole.part[last[-1] + 1 :] == TokenPart.SPECIAL]
    return int(behind[0]) if len(behind) else None


class _Span(NamedTuple):
    """Where a content is in the text, begin and end."""

    begin: int
    end: int


def _control_tokens(template: ChatTemplate, tokenizer: Tokenizer) -> re.Pattern[str]:
    """What no content may become: special tokens, and those that the template writes."""
    named = template.control_tokens
    tokens = [
        token.content
        for token in tokenizer.get_added_tokens_decoder().values()
        if token.special
        or (
            token.content in named
            if named is not None
            else token.content in template.literals and not token.content.isspace()
        )
    ]
    tokens.sort(key=len, reverse=True)  # a token before those that are parts of it
    return re.compile("|".join(map(re.escape, tokens)) or "(?!)")


def _marked(content: str, control: re.Pattern[str]) -> str:
    # Marks that are there already could forge one.
    for mark in (_START, _END, _FIRST, _LAST):
        content = content.replace(mark, "")
    return control.sub(f"{_START}\\g<0>{_END}", content)


def _spans(
    template: ChatTemplate, turns: Sequence[Turn], text: str, answering: bool
) -> list[_Span | None]:
    """Where each content is; None: it is empty."""
    for inside in (False, True):
        around = [replace(turn, content=_framed(turn.content, inside)) for turn in turns]
        try:
            framed = template.render(around, answering)
        except ChatError:  # it looks at how a content begins
            continue
        if re.sub(f"[{_FIRST}{_LAST}]", "", framed) == text:
            spans = _between_frames(framed, turns)
            if spans is not None:
                return spans
    return _searched(turns, text)


def _framed(content: str, inside: bool) -> str:
    if not content.strip():
        return content
    core = content.strip() if inside else content
    before, behind = content.split(core, 1)
    return f"{before}{_FIRST}{core}{_LAST}{behind}"


def _between_frames(framed: str, turns: Sequence[Turn]) -> list[_Span | None] | None:
    """The contents between frames; None: a frame is missing."""
    frames = re.findall(f"[{_FIRST}{_LAST}]", framed)
    written = [number for number, turn in enumerate(turns) if turn.content.strip()]
    if frames != [_FIRST, _LAST] * len(written):
        return None
    spans: list[_Span | None] = [None] * len(turns)
    pieces = re.split(f"[{_FIRST}{_LAST}]", framed)
    at = 0
    for number, before, content in zip(written, pieces[::2], pieces[1::2], strict=False):
        begin = at + len(before)
        at = begin + len(content)
        spans[number] = _Span(begin, at)
    return spans


def _searched(turns: Sequence[Turn], text: str) -> list[_Span | None]:
    spans: list[_Span | None] = []
    at = 0
    for number, turn in enumerate(turns):
        core = turn.content.strip()
        if not core:
            spans.append(None)
            continue
        begin, length = text.find(core, at), len(core)
        if begin < 0:
            begin, length = _tail(text, core, at)
        if begin < 0:
            raise ChatError(
                f"The chat template leaves out what turn {number + 1} says: it has no place for "
                f"the role {turn.role!r} there, or rewrites what it is given."
            )
        at = begin + length
        spans.append(_Span(begin, at))
    return spans


def _tail(text: str, core: str, at: int) -> tuple[int, int]:
    """Where a content is that has lost its first lines, as reasoning is left out of old turns."""
    for line in re.finditer(r"(?<=[>\n])\s*(?=\S)", core):
        rest = core[line.end() :]
        if (begin := text.find(rest, at)) >= 0:
            return begin, len(rest)
    return -1, 0


def _starts(
    template: ChatTemplate,
    turns: Sequence[Turn],
    text: str,
    spans: Sequence[_Span | None],
    answering: bool,
) -> list[int]:
    """Where each turn begins in the text, ascending, and last where the answer's does."""
    starts = [0]
    behind = 0
    for number in range(1, len(turns) + 1):
        before = spans[number - 1]
        behind = max(behind, starts[-1], before.end if before else 0)
        start = behind
        if number < len(turns) or answering:
            try:
                head = template.render(turns[:number])
            except ChatError:  # it takes no conversation that ends there
                head = ""
            following = spans[number] if number < len(turns) else None
            last = following.begin if following else len(text)
            if behind <= len(head) <= last and text.startswith(head):
                start = len(head)
        else:
            start = len(text) + 1
        starts.append(start)
    return starts


class _Encoded(NamedTuple):
    """Tokens, and which characters each of them is of."""

    ids: list[int]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


def _encoded(tokenizer: Tokenizer, text: str) -> _Encoded:
    ids: list[int] = []
    spans: list[tuple[int, int]] = []
    newline = tokenizer.encode("\n", add_special_tokens=False).ids
    at = 0
    for piece in re.split(f"({_START}[^{_START}{_END}]*{_END}|[{_START}{_END}])", text):
        if piece[:1] == _START and piece[-1:] == _END and len(piece) > 1:
            plain = _as_text(tokenizer, piece[1:-1], newline)
            ids += plain
            spans += [(at, at + len(piece))] * len(plain)
        elif piece and piece not in (_START, _END):
            own, offsets = _encoded_behind(tokenizer, piece, newline if ids else None)
            ids += own
            spans += [(at + begin, at + end) for begin, end in offsets]
        at += len(piece)
    pairs = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return _Encoded(ids, pairs[:, 0], pairs[:, 1])


def _encoded_behind(
    tokenizer: Tokenizer, piece: str, newline: list[int] | None
) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokens and offsets of a piece of a text.

    In the middle of a text it is read behind a newline, which is taken off again: else tokenizers
    in SentencePiece's manner would put a blank before it.
    """
    if newline is not None:
        behind = tokenizer.encode(f"\n{piece}", add_special_tokens=False)
        if behind.ids[: len(newline)] == newline:
            n = len(newline)
            return behind.ids[n:], [(max(0, a - 1), b - 1) for a, b in behind.offsets[n:]]
    own = tokenizer.encode(piece, add_special_tokens=False)
    return own.ids, own.offsets


def _as_text(tokenizer: Tokenizer, name: str, newline: list[int]) -> list[int]:
    """A control token's name as plain text: by the tokenizer's own steps, but for added tokens."""

    def plain(text: str) -> list[int]:
        if tokenizer.normalizer is not None:
            text = tokenizer.normalizer.normalize_str(text)
        words = [text]
        if tokenizer.pre_tokenizer is not None:
            words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        return [token.id for word in words for token in tokenizer.model.tokenize(word)]

    ids = plain(f"\n{name}")
    ids = ids[len(newline) :] if ids[: len(newline)] == newline else plain(name)
    if tokenizer.token_to_id(name) in ids:
        raise ChatError(
            f"The tokenizer makes the control token {name!r} of plain text, so that a turn cannot "
            "say it: leave it out."
        )
    return ids


def _within(
    spans: Sequence[_Span | None],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    length: int,
) -> NDArray[np.int32]:
    """Of each token, the turn whose content it has a character of; -1: none."""
    owner = np.full(length + 1, NOBODY, dtype=np.int32)
    for number, span in enumerate(spans):
        if span is not None:
            owner[span.begin : span.end] = number
    owners = np.full(len(begins), NOBODY, dtype=np.int32)
    for token, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        here = owner[begin:end]
        if (here >= 0).any():
            owners[token] = here.max()
    return owners


def _opened(whole: Conversation, bos: int | None, written: int | None) -> Conversation:
    """With exactly one BOS at the beginning, where texts open with one."""
    opening = bos if bos is not None else written
    if opening is None:
        return whole
    n_bos = int(np.cumprod(whole.tokens == opening).sum())
    if n_bos == 0 and bos is not None:
        return replace(
            whole,
            tokens=np.concatenate([[bos], whole.tokens]),
            turn=np.concatenate([[NOBODY], whole.turn]).astype(np.int32),
            part=np.concatenate([[TokenPart.SPECIAL], whole.part]).astype(np.int8),
            bos_added=True,
        )
    if n_bos == 0:
        return whole
    kept = slice(n_bos - 1, None)
    turn = whole.turn[kept].copy()
    turn[0] = NOBODY
    return replace(whole, tokens=whole.tokens[kept], turn=turn, part=whole.part[kept])
