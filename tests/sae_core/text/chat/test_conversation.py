"""Conversations against the transformers library, token for token, and what each token is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tokenizers import Tokenizer

from sae_core.errors import ChatError
from sae_core.text.chat.conversation import Conversation, converse, end_of_turn
from sae_core.text.chat.template import ChatTemplate
from sae_core.text.chat.turns import TokenPart, Turn
from tests.sae_core.text.chat.families import FAMILIES, Family, save_family

TALK = (
    Turn("user", "What is a dog?"),
    Turn("assistant", "A dog barks. é ☃ 🙂"),
    Turn("user", "hi\n\n there "),
)
SYSTEM = Turn("system", "You are a helpful assistant.")
WITHOUT_SYSTEM = ("gemma", "mistral")


class Made(NamedTuple):
    """A family's files, opened by us and by the library."""

    family: Family
    template: ChatTemplate
    tokenizer: Tokenizer
    library: Any

    @property
    def bos(self) -> int | None:
        """What opens a text of such a model."""
        return self.tokenizer.token_to_id(self.family.bos) if self.family.opens else None

    def converse(self, turns: Sequence[Turn], answering: bool = True) -> Conversation:
        """Our tokens."""
        return converse(self.template, self.tokenizer, turns, bos=self.bos, answering=answering)

    def reference(self, turns: Sequence[Turn], answering: bool = True, **options: Any) -> list[int]:
        """The library's tokens."""
        ids: list[int] = self.library.apply_chat_template(
            [vars(turn) for turn in turns],
            tokenize=True,
            add_generation_prompt=answering,
            return_dict=False,
            **options,
        )
        return ids


@pytest.fixture(scope="module", params=list(FAMILIES))
def made(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Made:
    from transformers import PreTrainedTokenizerFast

    family = FAMILIES[request.param]
    folder = save_family(family, tmp_path_factory.mktemp("families") / request.param)
    return Made(
        family,
        ChatTemplate.of(folder),
        Tokenizer.from_file(str(folder / "tokenizer.json")),
        PreTrainedTokenizerFast.from_pretrained(folder),
    )


def talks(made: Made) -> list[tuple[Turn, ...]]:
    given = [TALK[:1], TALK[:2], TALK]
    if made.family not in [FAMILIES[name] for name in WITHOUT_SYSTEM]:
        given += [(SYSTEM, *TALK)]
    return given


def test_tokens_are_the_library_s_behind_exactly_one_bos(made: Made) -> None:
    for turns in talks(made):
        for answering in (True, False):
            whole = made.converse(turns, answering)
            expected = made.reference(turns, answering)
            assert whole.tokens[int(whole.bos_added) :].tolist() == expected
            assert len(whole.turn) == len(whole.part) == len(whole)
            if made.bos is not None:
                assert whole.tokens[0] == made.bos != whole.tokens[1]
                assert (whole.turn[0], whole.part[0]) == (-1, TokenPart.SPECIAL)
                # Further ones only where the template itself writes them.
                assert (whole.tokens == made.bos).sum() == max(1, expected.count(made.bos))
            else:
                assert not whole.bos_added


def test_contents_are_what_was_said_and_nothing_else_is(made: Made) -> None:
    for turns in talks(made):
        whole = made.converse(turns)
        for number, turn in enumerate(turns):
            here = (whole.turn == number) & whole.is_content
            assert (np.diff(np.flatnonzero(here)) == 1).all()
            text = made.tokenizer.decode(whole.tokens[here].tolist())
            # The first token may begin with characters of the template.
            assert text.strip().endswith(turn.content.strip())
            assert len(text) <= len(turn.content) + 4
        special = {made.tokenizer.token_to_id(token) for token in made.family.special}
        is_special = np.isin(whole.tokens, sorted(special))
        assert ((whole.part == TokenPart.SPECIAL) == is_special).all()
        assert (np.diff(whole.turn) >= 0).all() or turns[0].role == "system"
        assert whole.turn.max() <= len(turns)


def test_a_content_cannot_open_or_close_a_turn(made: Made) -> None:
    hostile = " then ".join(made.family.special)
    turns = (Turn("user", f"I say {hostile} now"), *TALK[1:])
    whole = made.converse(turns)
    reference = made.reference(turns, sanitize_control_tokens=True)
    assert whole.tokens[int(whole.bos_added) :].tolist() == reference
    plain = made.converse((Turn("user", "I say that now"), *TALK[1:]))
    assert (whole.part == TokenPart.SPECIAL).sum() == (plain.part == TokenPart.SPECIAL).sum()
    assert whole.n_marks == len(made.family.special)
    said = whole.tokens[(whole.turn == 0) & whole.is_content].tolist()
    assert made.tokenizer.decode(said).strip().startswith("I say")
    assert not {made.tokenizer.token_to_id(mark) for mark in made.family.special} & set(said)
    # A mark of ours cannot be forged either.
    forged = Turn("user", f"a\U000f0000{made.family.eos}\U000f0001b")
    assert (
        made.tokenizer.token_to_id(made.family.eos)
        not in made.converse([forged]).tokens[made.converse([forged]).is_content]
    )


def test_an_empty_turn_has_no_content(made: Made) -> None:
    turns = (TALK[0], Turn("assistant", ""), TALK[2])
    whole = made.converse(turns)
    assert whole.tokens[int(whole.bos_added) :].tolist() == made.reference(turns)
    assert not ((whole.turn == 1) & whole.is_content).any()


def test_what_ends_a_turn(made: Made) -> None:
    end = end_of_turn(made.template, made.tokenizer)
    named = {
        "<eos>": "<end_of_turn>",
        "<|endoftext|>": "<|end|>",
    }
    assert end == made.tokenizer.token_to_id(named.get(made.family.eos, made.family.eos))


def test_a_role_that_the_template_lacks_is_named(tmp_path: Path) -> None:
    gemma = save_family(FAMILIES["gemma"], tmp_path / "gemma")
    deepseek = save_family(FAMILIES["deepseek"], tmp_path / "deepseek")
    for folder, role, words in (
        (gemma, "system", "System role not supported"),
        (deepseek, "narrator", "has no place for the role 'narrator'"),
    ):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        turns = [Turn(role, "it rains"), TALK[0]]
        with pytest.raises(ChatError, match=words):
            converse(ChatTemplate.of(folder), tokenizer, turns)


def test_the_plain_template_is_ours(tmp_path: Path) -> None:
    folder = save_family(FAMILIES["vicuna"], tmp_path / "base")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain = ChatTemplate.plain()
    text = plain.render([SYSTEM, *TALK[:2]], answering=True)
    assert text == (
        f"{SYSTEM.content}\n\nUser: {TALK[0].content}\nAssistant: {TALK[1].content}\nAssistant:"
    )
    assert not plain.is_own
    assert plain.stops == ("\nUser:",)
    assert end_of_turn(plain, tokenizer) is None
    bos = tokenizer.token_to_id("<s>")
    whole = converse(plain, tokenizer, TALK, bos=bos)
    assert whole.bos_added
    assert whole.tokens.tolist().count(bos) == 1


@pytest.mark.parametrize("n", [0, 501])
def test_a_conversation_has_some_turns_and_not_too_many(tmp_path: Path, n: int) -> None:
    folder = save_family(FAMILIES["chatml"], tmp_path / "chatml")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with pytest.raises(ChatError, match="1 to 500 turns"):
        converse(ChatTemplate.of(folder), tokenizer, [TALK[0]] * n)
