"""Generated text: exact where it must be, and what a loop without cache would write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from torch import Tensor

from sae_core.errors import SteeringError
from sae_core.interventions.generation import (
    STEERED,
    UNSTEERED,
    Drawn,
    Scope,
    check_room,
    continuations,
    end_tokens,
    generate,
)
from sae_core.interventions.next_token import Sampler, TokenSampling
from sae_core.interventions.prompt import prompt_tokens
from sae_core.interventions.steering import FeatureEdit, Mode
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.language_model.vocabulary import read_vocabulary
from tests.sae_core.interventions.steered_reference import HandEdit, busiest, written
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gpt2, tiny_llama

PROMPT = [0, 17, 40, 99, 250, 31]
HOOK = "blocks.1.mlp.hook_post"
N = 12


@pytest.fixture(scope="module")
def bosless(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A Llama whose texts begin with their first word."""
    folder = save_folder(tiny_llama(), tmp_path_factory.mktemp("bosless"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": None}))
    model = load_model(folder)
    assert model.vocabulary.bos is None
    return model


def edit(model: LanguageModel, mode: Mode, strength: float = 2.0, hook: str = HOOK) -> FeatureEdit:
    dictionary = random_dictionary(hook, model.hook_point(hook).d_in, architecture="topk")
    return FeatureEdit(dictionary, busiest(model, dictionary, PROMPT), mode, strength, 2.0)


def run(steps: Iterator[tuple[Drawn, ...]]) -> tuple[list[Drawn], list[Drawn]]:
    """What was drawn for either text."""
    drawn = [one for step in steps for one in step]
    return (
        [one for one in drawn if one.row == UNSTEERED],
        [one for one in drawn if one.row == STEERED],
    )


def tokens_of(drawn: Sequence[Drawn]) -> list[int]:
    return [one.token for one in drawn]


SAMPLINGS = [TokenSampling(seed=3), TokenSampling(0.0), TokenSampling(0.7, 0.9, 40, 5)]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "bosless"])
def test_neutral_settings_are_the_unsteered_model_bit_for_bit(
    architecture: str, mode: Mode, sampling: TokenSampling, request: Any
) -> None:
    """Text and probabilities; and the unsteered text is one and the same whatever is beside it."""
    model: LanguageModel = request.getfixturevalue(architecture)
    neutral = {
        Mode.ADD: (Mode.ADD, 0.0, 2.0),
        Mode.SCALE: (Mode.SCALE, 1.0, 2.0),
        Mode.CLAMP: (Mode.ADD, 3.0, 0.0),  # clamp always takes away what the feature reads
        Mode.CAP: (Mode.ADD, 3.0, 0.0),  # neutral only where it is not reached: test_steering.py
        Mode.REMOVE: (Mode.REMOVE, 0.0, 2.0),
    }[mode]
    dictionary = edit(model, mode).dictionary
    still = [FeatureEdit(dictionary, 3, *neutral), FeatureEdit(dictionary, 4, Mode.SCALE, 1.0, 9.0)]
    prompt = torch.tensor(PROMPT)
    lone, beside = run(generate(model, prompt, [], N, sampling))
    assert [(d.token, d.probability, d.text) for d in lone] == [
        (d.token, d.probability, d.text) for d in beside
    ]
    for edits in ([still[0]], still, [edit(model, mode)], [*still, edit(model, mode, -3.0)]):
        for scope in Scope:
            unsteered, steered = run(generate(model, prompt, edits, N, sampling, scope))
            assert unsteered == lone
            if edits[-1].is_neutral:
                assert steered == beside


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "bosless"])
def test_equals_a_loop_without_cache(
    architecture: str, mode: Mode, scope: Scope, request: Any
) -> None:
    """In float64, from the start at every step, with hooks written by hand."""
    model: LanguageModel = request.getfixturevalue(architecture)
    prompt = prompt_tokens(model, PROMPT[1:])
    assert (prompt[0] == 0) == (model.vocabulary.bos is not None)
    edits = [
        edit(model, mode),
        edit(model, Mode.ADD, -1.0, "blocks.0.hook_resid_mid"),
        edit(model, mode, 0.5, "blocks.2.attn.hook_z"),
    ]
    sampling = TokenSampling(seed=11)
    unsteered, steered = run(generate(model, prompt, edits, N, sampling, scope))
    by_hand = [HandEdit(e.dictionary, e.feature, e.mode, e.strength, e.maximum) for e in edits]
    begin = len(prompt) - 1 if scope is Scope.GENERATED else 0
    uniform = Sampler(sampling, N).uniform
    for found, these in ((unsteered, []), (steered, by_hand)):
        tokens, probabilities = written(model, prompt.tolist(), these, uniform, begin)
        assert tokens_of(found) == tokens
        assert [one.probability for one in found] == pytest.approx(probabilities, rel=2e-3)
        assert [one.step for one in found] == list(range(len(tokens)))
    assert tokens_of(unsteered) != tokens_of(steered)


def test_the_scope_decides_whether_the_prompt_is_steered(gpt2: LanguageModel) -> None:
    """Steered everywhere, the first token is drawn after a steered prompt; else only its last
    token is."""
    prompt = torch.tensor(PROMPT)
    edits = [edit(gpt2, Mode.ADD, 3.0)]
    everywhere, later = (
        run(generate(gpt2, prompt, edits, 1, TokenSampling(seed=1), scope))[STEERED][0]
        for scope in Scope
    )
    (plain,) = run(generate(gpt2, prompt, edits, 1, TokenSampling(seed=1)))[UNSTEERED]
    assert len({everywhere.probability, later.probability, plain.probability}) == 3
    # A prompt of nothing but BOS leaves nothing to steer before the first token is drawn.
    alone = run(generate(gpt2, torch.tensor([0]), edits, 2, TokenSampling(seed=1)))
    assert alone[0][0] == Drawn(**vars(alone[1][0]) | {"row": UNSTEERED})
    assert alone[0][1].probability != alone[1][1].probability


def test_the_prompt_in_pieces_gives_the_same_text(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = torch.tensor([0, *range(30, 60)])
    whole = list(generate(llama, prompt, [edit(llama, Mode.CLAMP)], N, TokenSampling(seed=2)))
    monkeypatch.setattr("sae_core.interventions.steered_run._MOST_TOKENS", 10)
    pieces = list(generate(llama, prompt, [edit(llama, Mode.CLAMP)], N, TokenSampling(seed=2)))
    assert pieces[:6] == [()] * 6
    assert [[(d.token, d.text) for d in step] for step in pieces[6:]] == [
        [(d.token, d.text) for d in step] for step in whole
    ]


class Forced:
    """A run whose texts are known beforehand."""

    def __init__(self, vocabulary: Any, texts: Sequence[Sequence[int]], ends: Any) -> None:
        config = SimpleNamespace(eos_token_id=ends, get_text_config=lambda: config)
        module = SimpleNamespace(config=config, generation_config=SimpleNamespace())
        model = SimpleNamespace(vocabulary=vocabulary, bos=vocabulary.bos, module=module)
        self.steering = SimpleNamespace(model=model, rows=[()] * len(texts))
        self.texts = texts
        self.fed: list[list[int]] = []

    def logits(self, step: int) -> Tensor:
        logits = torch.zeros(len(self.texts), len(self.steering.model.vocabulary.pieces))
        for row, text in enumerate(self.texts):
            logits[row, text[min(step, len(text) - 1)]] = 100.0
        return logits

    def step(self, tokens: Sequence[int]) -> Tensor:
        self.fed.append(list(tokens))
        return self.logits(len(self.fed))

    def write(self, n_tokens: int) -> list[list[Drawn]]:
        made: Any = self
        drawn = [
            d for s in continuations(made, self.logits(0), n_tokens, TokenSampling()) for d in s
        ]
        return [[d for d in drawn if d.row == row] for row in range(len(self.texts))]


def test_characters_come_when_they_are_complete(gpt2: LanguageModel) -> None:
    """Byte by byte: two, three and four bytes, and bytes that are no character's."""
    text = "aé€😀b".encode() + b"\xff" + "é".encode() + b"\xe2\x82" + b"z" + b"\xf0\x9f"
    token_of = {gpt2.vocabulary.pieces[i]: i for i in range(1, 257)}
    (drawn,) = Forced(gpt2.vocabulary, [[token_of[bytes([b])] for b in text]], 0).write(len(text))
    assert [one.text for one in drawn] == [
        *["a", "", "é", "", "", "€", "", "", "", "😀", "b", "\ufffd", "", "é"],
        *["", "", "\ufffdz", "", "\ufffd"],
    ]
    assert "".join(one.text for one in drawn) == text.decode("utf-8", "replace")
    assert not any(one.end for one in drawn)


def test_a_text_ends_and_the_other_goes_on(gpt2: LanguageModel) -> None:
    token_of = {gpt2.vocabulary.pieces[i]: i for i in range(1, 257)}
    a, half = token_of[b"a"], token_of[b"\xc3"]
    forced = Forced(gpt2.vocabulary, [[a, half, 0], [a, a, a, a, 0]], None)
    ended, going = forced.write(9)
    assert [(d.token, d.text, d.end) for d in ended] == [
        (a, "a", False), (half, "", False), (0, "\ufffd", True),
    ]  # fmt: skip
    assert [(d.step, d.text, d.end) for d in going] == [
        *((step, "a", False) for step in range(4)), (4, "", True),
    ]  # fmt: skip
    assert forced.fed == [[a, a], [half, a], [0, a], [0, a]]


def test_words_with_leading_spaces_and_bytes() -> None:
    """As SentencePiece writes them: a space belongs to the word behind it."""
    words = ["<s>", "</s>", "▁the", "n", "▁", "<0xC3>", "<0xA9>", "<0x0A>", "▁▁"]
    tokenizer = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, [], byte_fallback=True))
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback()])
    vocabulary = read_vocabulary(tokenizer, len(words), 0)
    (drawn,) = Forced(vocabulary, [[2, 3, 2, 4, 5, 6, 7, 8, 1]], 1).write(20)
    assert [one.text for one in drawn] == [" the", "n", " the", " ", "", "é", "\n", "  ", ""]
    assert drawn[-1].end


@pytest.mark.parametrize("seed", range(4))
def test_text_is_the_bytes_of_the_tokens(gpt2: LanguageModel, seed: int) -> None:
    sampling = TokenSampling(temperature=2.0, seed=seed)
    for drawn in run(generate(gpt2, torch.tensor(PROMPT), [edit(gpt2, Mode.ADD)], 50, sampling)):
        tokens = [d.token for d in drawn if not d.end]
        text = b"".join(gpt2.vocabulary.pieces[token] for token in tokens)
        assert "".join(d.text for d in drawn) == text.decode("utf-8", "replace")


def test_end_tokens(gpt2: LanguageModel, tmp_path: Path) -> None:
    """What the model's files call so, one or several, and the token that opens the next text."""
    assert end_tokens(gpt2) == {0}
    folder = save_folder(tiny_gpt2(), tmp_path)
    settings = json.loads((folder / "generation_config.json").read_text())
    settings["eos_token_id"] = [7, 9]
    (folder / "generation_config.json").write_text(json.dumps(settings))
    assert end_tokens(load_model(folder)) == {0, 7, 9}


def test_there_must_be_room(gpt2: LanguageModel) -> None:
    with pytest.raises(SteeringError, match=r"59 tokens after .* 6 make 65, .* 64: .* most 58"):
        next(generate(gpt2, torch.tensor(PROMPT), [], 59, TokenSampling()))
    with pytest.raises(SteeringError, match="shorten the prompt"):
        check_room(gpt2, 64, 1)
    unsteered, steered = run(
        generate(gpt2, torch.tensor(PROMPT), [edit(gpt2, Mode.ADD)], 58, TokenSampling(seed=4))
    )
    assert len(unsteered) == 58 or unsteered[-1].end
    assert len(steered) == 58 or steered[-1].end


def test_numbers_that_overflow_are_said(gpt2_folder: Path) -> None:
    model = load_model(gpt2_folder, dtype="float16")
    dictionary = random_dictionary(HOOK, 48)
    steps = generate(
        model,
        torch.tensor(PROMPT),
        [FeatureEdit(dictionary, 3, Mode.ADD, 1000.0, 1e6)],
        5,
        TokenSampling(),
    )
    with pytest.raises(SteeringError, match="no numbers any more: choose smaller strengths"):
        list(steps)


def test_generators_take_turns_and_leave_nothing(gpt2: LanguageModel) -> None:
    """Many over one model, some closed half-way: each writes what it writes alone."""
    prompt = torch.tensor(PROMPT)
    questions = [
        ([edit(gpt2, mode, strength, hook)], TokenSampling(seed=seed), scope)
        for seed, (mode, strength, hook, scope) in enumerate(
            (mode, strength, hook, scope)
            for mode in Mode
            for strength, hook in ((2.0, HOOK), (-1.0, "blocks.0.hook_resid_mid"))
            for scope in Scope
        )
    ]
    lone = [list(generate(gpt2, prompt, e, N, s, scope)) for e, s, scope in questions]
    going = {i: generate(gpt2, prompt, e, N, s, scope) for i, (e, s, scope) in enumerate(questions)}
    found: list[list[tuple[Drawn, ...]]] = [[] for _ in questions]
    modules = list(gpt2.module.modules())
    while going:
        for number in list(going):
            if number % 3 == 1 and len(found[number]) == number % 5:
                going[number].close()  # type: ignore[attr-defined]
                del going[number]
                continue
            step = next(going[number], None)
            if step is None:
                del going[number]
            else:
                found[number].append(step)
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
    for number, (steps, alone) in enumerate(zip(found, lone, strict=True)):
        assert steps == (alone[: number % 5] if number % 3 == 1 else alone)
