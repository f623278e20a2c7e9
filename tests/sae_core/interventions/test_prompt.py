"""Prompts: BOS once, hostile text, and one pass held to independent ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import processors

from sae_core.errors import PromptError
from sae_core.interventions.prompt import prompt_firings, prompt_tokens, read_prompt, text_positions
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.language_model.double_models import in_double
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import END, tiny_tokenizer

HOOKS = ["blocks.0.hook_resid_pre", "blocks.1.attn.hook_z", "blocks.1.hook_resid_mid"]
HOOKS += ["blocks.1.mlp.hook_post", "blocks.2.hook_mlp_out", "blocks.2.hook_resid_post"]


def copied(folder: Path, target: Path, tokenizer: object = None, bos: str | None = END) -> Path:
    """The same model with another tokenizer.json, or with another say about its BOS."""
    shutil.copytree(folder, target)
    if tokenizer is not None:
        tokenizer.save(str(target / "tokenizer.json"))  # type: ignore[attr-defined]
    (target / "tokenizer_config.json").write_text(json.dumps({"bos_token": bos}))
    return target


@pytest.fixture(scope="module")
def adding(gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A model whose tokenizer puts BOS before a text by itself, and was saved cutting texts."""
    tokenizer = tiny_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END} $A {END}", special_tokens=[(END, 0)]
    )
    tokenizer.enable_truncation(max_length=8)
    tokenizer.enable_padding(length=30)
    folder = tmp_path_factory.mktemp("adding") / "model"
    return load_model(copied(gpt2_folder, folder, tokenizer))


@pytest.fixture(scope="module")
def without_bos(gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """A model that has no BOS."""
    folder = tmp_path_factory.mktemp("without") / "model"
    return load_model(copied(gpt2_folder, folder, bos=None))


@pytest.mark.parametrize("name", ["gpt2", "llama", "adding"])
@pytest.mark.parametrize("prompt", ["a dog", f"{END}a dog", f"{END}{END}{END}a dog"])
def test_bos_comes_first_exactly_once(
    name: str, prompt: str, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(name)
    text = model.tokenizer.encode("a dog", add_special_tokens=False).ids
    tokens = prompt_tokens(model, prompt)
    assert tokens.dtype is torch.int64
    assert tokens.device.type == "cpu"
    assert tokens.tolist() == [0, *text]


@pytest.mark.parametrize("given", [[5, 6], [0, 5, 6], [0, 0, 5, 6]])
def test_bos_comes_first_exactly_once_in_ids(
    given: list[int], gpt2: LanguageModel, without_bos: LanguageModel
) -> None:
    assert prompt_tokens(gpt2, given).tolist() == [0, 5, 6]
    assert prompt_tokens(without_bos, given).tolist() == given


def test_a_model_without_bos_gets_the_text_alone(without_bos: LanguageModel) -> None:
    text = without_bos.tokenizer.encode("a dog", add_special_tokens=False).ids
    assert prompt_tokens(without_bos, "a dog").tolist() == text
    # What the vocabulary calls special stays a token of the prompt where it is typed.
    assert prompt_tokens(without_bos, f"{END}a dog").tolist() == [0, *text]


def test_a_special_token_inside_a_prompt_stays(gpt2: LanguageModel) -> None:
    tokens = prompt_tokens(gpt2, f"a{END}b")
    assert tokens.tolist().count(0) == 2
    assert text_positions(gpt2, tokens).tolist() == [1, 3]


def test_a_tokenizer_saved_to_cut_and_pad_does_neither(adding: LanguageModel) -> None:
    assert len(prompt_tokens(adding, "xyz" * 15)) == 46
    assert len(prompt_tokens(adding, "a")) == 2


@pytest.mark.parametrize(
    "text", ["🙂 ab", "\0", "a\0b", "שלום עולם", "   \n\t ", "x", "e\u0301", "\u202e\u200b", "\x7f"]
)
def test_any_text_survives(text: str, gpt2: LanguageModel) -> None:
    pieces = gpt2.vocabulary.pieces
    tokens = prompt_tokens(gpt2, text)
    assert b"".join(pieces[token] for token in tokens[1:]) == text.encode()


def test_half_a_surrogate_pair_becomes_a_replacement_character(gpt2: LanguageModel) -> None:
    assert torch.equal(prompt_tokens(gpt2, "a\ud800b"), prompt_tokens(gpt2, "a\ufffdb"))
    assert torch.equal(prompt_tokens(gpt2, "\ud83d\ude42"), prompt_tokens(gpt2, "🙂"))


def test_an_empty_prompt_needs_a_bos(gpt2: LanguageModel, without_bos: LanguageModel) -> None:
    for empty in ("", END, [], [0]):
        assert prompt_tokens(gpt2, empty).tolist() == [0]
    for empty in ("", []):
        with pytest.raises(PromptError, match=r"prompt is empty.*write something"):
            prompt_tokens(without_bos, empty)


def test_what_does_not_fit_is_refused_with_both_numbers(
    gpt2: LanguageModel, without_bos: LanguageModel
) -> None:
    assert len(prompt_tokens(gpt2, "\x01" * 63)) == 64
    with pytest.raises(PromptError, match=r"65 tokens, the opening one included, .* at most 64"):
        prompt_tokens(gpt2, "\x01" * 64)
    with pytest.raises(PromptError, match=r"65 tokens, but .* at most 64"):
        prompt_tokens(without_bos, "\x01" * 65)
    with pytest.raises(PromptError, match=r"100001 tokens.* at most 64"):
        prompt_tokens(gpt2, "\x01" * 100_000)
    with pytest.raises(PromptError, match=r"1000000 characters, but .* at most 64 tokens"):
        prompt_tokens(gpt2, "\x01" * 1_000_000)
    for strange in (-1, 300):
        with pytest.raises(PromptError, match=rf"no token {strange}: .* 300 tokens, 0 to 299"):
            prompt_tokens(gpt2, [0, strange])


@pytest.mark.parametrize("name", ["gpt2", "llama", "without_bos"])
def test_one_pass_equals_independent_ones(name: str, request: pytest.FixtureRequest) -> None:
    model: LanguageModel = request.getfixturevalue(name)
    tokens = prompt_tokens(model, f"The dog{END} does not mind.")
    points = [model.hook_point(hook) for hook in HOOKS]
    reading = read_prompt(model, tokens, points)
    assert torch.equal(reading.tokens, tokens)
    double = in_double(model.path)
    with torch.no_grad():
        log_p = double(input_ids=tokens[None], use_cache=False).logits[0].log_softmax(-1)
    n = len(tokens)
    assert reading.loss.shape == (n,)
    assert torch.isnan(reading.loss[0])
    wanted = -log_p[torch.arange(n - 1), tokens[1:]]
    assert torch.allclose(reading.loss[1:].double(), wanted, rtol=0, atol=1e-5)
    assert reading.predicted.shape == reading.probabilities.shape == (n, 5)
    best = log_p.exp().topk(5)
    assert torch.allclose(reading.probabilities.double(), best.values, rtol=0, atol=1e-5)
    at = log_p.exp().gather(-1, reading.predicted)
    assert torch.allclose(at, best.values, rtol=0, atol=1e-5)
    assert list(reading.activations) == points
    for point, x in reading.activations.items():
        assert torch.allclose(x, model.capture(tokens[None], point)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", ["standard", "topk", "neurons"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "without_bos"])
def test_firings_equal_an_independent_encode(
    name: str, architecture: str, request: pytest.FixtureRequest
) -> None:
    model: LanguageModel = request.getfixturevalue(name)
    tokens = prompt_tokens(model, f"The dog{END} does not mind.")
    for hook in HOOKS:
        point = model.hook_point(hook)
        dictionary = random_dictionary(hook, point.d_in, architecture=architecture)
        reading = read_prompt(model, tokens, [point])
        firings = prompt_firings(model, dictionary, tokens, reading.activations[point])
        wanted = dictionary.encode(model.capture(tokens[None], point)[0])
        wanted[tokens == 0] = 0.0
        found = torch.zeros_like(wanted)
        found[firings.rows, firings.features] = firings.values
        assert len(firings.values) == int((wanted > 0).sum()) > 0
        assert torch.allclose(found, wanted, rtol=0, atol=1e-5)
        keys = firings.rows * dictionary.d_sae + firings.features
        assert torch.equal(keys, keys.sort().values)


def test_several_dictionaries_take_one_pass(
    gpt2: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Sequence[int]] = []
    forward = gpt2.final_hidden

    def counted(tokens: torch.Tensor) -> torch.Tensor:
        passes.append(tokens.shape)
        return forward(tokens)

    monkeypatch.setattr(gpt2, "final_hidden", counted)
    read_prompt(gpt2, prompt_tokens(gpt2, "a dog"), [gpt2.hook_point(hook) for hook in HOOKS])
    assert len(passes) == 1


def test_bos_alone_fires_nothing(gpt2: LanguageModel) -> None:
    for architecture in ("standard", "topk", "neurons"):
        dictionary = random_dictionary(HOOKS[3], 48, architecture=architecture)
        point = gpt2.hook_point(HOOKS[3])
        reading = read_prompt(gpt2, prompt_tokens(gpt2, ""), [point])
        assert len(reading.loss) == len(reading.predicted) == 1
        x = reading.activations[point]
        assert len(prompt_firings(gpt2, dictionary, reading.tokens, x).values) == 0


def test_a_vocabulary_in_pieces_gives_the_same(
    gpt2: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = prompt_tokens(gpt2, "The dog does not mind.")
    whole = read_prompt(gpt2, tokens)
    monkeypatch.setattr("sae_core.language_model.predictions._LOGITS_AT_ONCE", 1)
    monkeypatch.setattr("sae_core.language_model.predictions._LEAST_ROWS", 3)
    pieces = read_prompt(gpt2, tokens)
    assert torch.allclose(whole.loss[1:], pieces.loss[1:], rtol=0, atol=1e-6)
    assert torch.equal(whole.predicted, pieces.predicted)
