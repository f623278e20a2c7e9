"""Many architectures: every hook point that is offered holds what it promises, or it is refused.

A sample by default; all of them with `EVERY_ARCHITECTURE=1`. The reference is the library's own
model, with hidden states as it gives them and hooks that know nothing of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import HookPointError, ModelError
from sae_core.harvest.logit_weights import logit_weights
from sae_core.interventions.ablation import ablate
from sae_core.interventions.attribution import predict
from sae_core.interventions.generation import STEERED, generate
from sae_core.interventions.next_token import TokenSampling
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Mode, Steering
from sae_core.language_model.clean_run import clean_run
from sae_core.language_model.hook_point import HookKind, HookPoint
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.language_model.plain_hooks import edited
from tests.sae_core.language_model.zoo import ARCHITECTURES, WRAPPERS, build
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder

# One of a kind: odd layouts, experts, hybrids, post-norms, scaled logits, a wrapper.
SAMPLE = ("bloom", "deepseek_v3", "falcon", "gemma2", "granite", "lfm2", "llava", "opt", "qwen3_5")
REFUSED = {"mamba": "how long a context may be", "persimmon": "how PersimmonForCausalLM is built"}
EVERY = [name for name in (*ARCHITECTURES, *WRAPPERS) if name not in REFUSED]
NAMES = EVERY if os.environ.get("EVERY_ARCHITECTURE") else SAMPLE
SINGLE = {"xglm"}  # whose positions are float32 tables
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


@pytest.fixture(scope="module", params=NAMES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LanguageModel, torch.nn.Module]:
    """A model as we load it, and as the library does, both in float64 where that computes so."""
    folder = save_folder(build(request.param), tmp_path_factory.mktemp("zoo") / "model")
    kind = AutoModelForImageTextToText if request.param in WRAPPERS else AutoModelForCausalLM
    dtype = "float32" if request.param in SINGLE else "float64"
    # The library's one product for all experts computes in float32 at most.
    plain = kind.from_pretrained(
        folder, dtype=getattr(torch, dtype), experts_implementation="eager"
    ).eval()
    return load_model(folder, dtype=dtype), plain.requires_grad_(False)


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.cat([torch.zeros(2, 1), torch.randint(6, 256, (2, 11), generator=draw)], 1).long()


def offered(model: LanguageModel) -> list[str]:
    return [f"blocks.{n}.{kind}" for n in range(model.n_layers) for kind in model.kinds(n)]


def test_the_stream_is_the_library_s_hidden_states(
    pair: tuple[LanguageModel, torch.nn.Module], tokens: Tensor
) -> None:
    model, plain = pair
    with torch.no_grad():
        output = plain(input_ids=tokens, output_hidden_states=True)
    torch.testing.assert_close(model.logits(tokens), output.logits)
    for layer in range(model.n_layers):
        assert {HookKind.RESID_PRE, HookKind.RESID_POST} <= set(model.kinds(layer))
        pre = model.capture(tokens, model.hook_point(f"blocks.{layer}.hook_resid_pre"))
        torch.testing.assert_close(pre, output.hidden_states[layer])
        if layer + 1 < model.n_layers:
            post = model.capture(tokens, model.hook_point(f"blocks.{layer}.hook_resid_post"))
            torch.testing.assert_close(post, output.hidden_states[layer + 1])


def test_reading_running_on_and_ablation_agree_with_whole_passes(
    pair: tuple[LanguageModel, torch.nn.Module], tokens: Tensor
) -> None:
    model, plain = pair
    clean = model.logits(tokens).log_softmax(-1)[:, :-1]
    for name in offered(model):
        point = model.hook_point(name)
        dictionary = random_dictionary(name, point.d_in).to(model.dtype)
        x = model.capture(tokens, point)
        assert x.shape == (*tokens.shape, point.d_in), name
        run = clean_run(model, tokens, point)
        torch.testing.assert_close(run.x, x, msg=name)
        feature = int(dictionary.encode(x)[:, 1:].sum((0, 1)).argmax())
        without = partial(_without, dictionary, feature, (tokens != 0).to(model.dtype))
        changed = whole_pass(plain, model, point, tokens, without)
        hidden = run.rerun(without(x))
        _assert_close(model.head(hidden.flatten(0, 1)).view_as(changed), changed, name)
        target = tokens[:, 1:, None]
        expected = clean.gather(-1, target) - changed.log_softmax(-1)[:, :-1].gather(-1, target)
        for row, effect in enumerate(ablate(model, dictionary, feature, list(tokens))):
            change = torch.zeros(tokens.shape[1], dtype=torch.float64)
            change[torch.from_numpy(effect.positions.astype(int))] = torch.from_numpy(
                effect.loss_change
            ).double()
            _assert_close(change[1:], expected[row, :, 0].double(), name)


@pytest.fixture(scope="module")
def prompt() -> Tensor:
    """Longer than the windows that some of the models attend to."""
    draw = torch.Generator().manual_seed(3)
    return torch.cat([torch.zeros(1), torch.randint(6, 256, (20,), generator=draw)]).long()


def test_steered_texts_are_those_of_whole_passes(
    pair: tuple[LanguageModel, torch.nn.Module], prompt: Tensor
) -> None:
    """At temperature 0, and logit by logit, keys and values kept or not."""
    model, plain = pair
    unsteered = whole_pass(plain, model, None, prompt[None])[0, -1]
    for name in offered(model):
        point = model.hook_point(name)
        dictionary = random_dictionary(name, point.d_in, d_sae=8).to(model.dtype)
        acts = dictionary.encode(model.capture(prompt[None], point))[0, 1:]
        often = (acts > 0).sum(0).argsort(descending=True)[:2].tolist()
        size = float(acts.max())
        edits = [
            FeatureEdit(dictionary, often[0], Mode.ADD, 0.5, size),
            FeatureEdit(dictionary, often[1], Mode.CLAMP, 0.7, size),
        ]

        def steered(ids: Tensor) -> Tensor:
            edit = partial(_steered, edits, (ids != 0).to(model.dtype))  # noqa: B023
            return whole_pass(plain, model, point, ids[None], edit)[0, -1]  # noqa: B023

        run = SteeredRun(Steering(model, [(), edits]))
        logits = run.next_logits(run.feed(prompt.expand(2, -1)).hidden[:, -1])
        _assert_close(logits[0], unsteered, name)
        text, pieces = prompt, list[str]()
        for step in generate(model, prompt, edits, 5, TokenSampling(0.0)):
            for drawn in step:
                if drawn.row != STEERED:
                    continue
                expected = steered(text)
                _assert_close(logits[1], expected, f"{name}, token {drawn.step}")
                assert drawn.token == int(expected.argmax()), name
                assert drawn.probability == pytest.approx(
                    float(expected.softmax(-1)[drawn.token]), rel=1e-3, abs=1e-4
                )
                pieces.append(drawn.text)
                text = torch.cat([text, torch.tensor([drawn.token])])
                logits = run.step([drawn.token, drawn.token])
        assert "".join(pieces) == model.tokenizer.decode(text[len(prompt) :].tolist())


def test_attribution_is_that_of_whole_passes(
    pair: tuple[LanguageModel, torch.nn.Module], prompt: Tensor
) -> None:
    """Each feature's exact effect, and its first-order estimate from the plain model's gradient."""
    model, plain = pair
    position, target = len(prompt), 33
    clean = whole_pass(plain, model, None, prompt[None])[0, -1].log_softmax(-1)[target]
    text = (prompt != 0).to(model.dtype)
    for name in offered(model):
        point = model.hook_point(name)
        dictionary = random_dictionary(name, point.d_in, d_sae=6).to(model.dtype)
        prediction = predict(model, dictionary, prompt, position, target)
        estimates = prediction.estimates()
        effects: dict[int, float] = {}
        for some in prediction.effects(estimates):
            effects |= dict(zip(some.features.tolist(), some.loss_change.tolist(), strict=True))
        for feature, effect in effects.items():
            without = partial(_without, dictionary, feature, text)
            after = whole_pass(plain, model, point, prompt[None], without)[0, -1]
            expected = clean - after.log_softmax(-1)[target]
            _assert_close(torch.tensor(effect).double(), expected.double(), name)

        kept = torch.ones(dictionary.d_sae, dtype=model.dtype, requires_grad=True)

        def scaled(x: Tensor) -> Tensor:
            acts = (dictionary.encode(x) * text[:, None]).detach()  # noqa: B023
            return x + (acts * (kept - 1)) @ dictionary.decoder_rows  # noqa: B023

        score = whole_pass(plain, model, point, prompt[None], scaled)[0, -1].log_softmax(-1)
        (slopes,) = torch.autograd.grad(score[target], kept)
        features = prediction.features
        _assert_close(estimates, slopes[features].to(estimates.dtype), name)


def whole_pass(
    plain: torch.nn.Module,
    model: LanguageModel,
    point: HookPoint | None,
    tokens: Tensor,
    edit: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Logits of the library's own model, edited at a hook point by a hook of plain PyTorch."""
    with ExitStack() as stack:
        if point is not None and edit is not None:
            stack.enter_context(edited(plain, model.layout, point, len(tokens), edit))
        logits: Tensor = plain(input_ids=tokens, use_cache=False).logits
    return logits


def _assert_close(ours: Tensor, theirs: Tensor, name: str) -> None:
    torch.testing.assert_close(ours, theirs, **CLOSE, msg=lambda text: f"{name}: {text}")


def _without(dictionary: Dictionary, feature: int, text: Tensor, x: Tensor) -> Tensor:
    acts = dictionary.encode_feature(x, feature) * text
    return x - acts[..., None] * dictionary.decoder_row(feature)


def _steered(edits: list[FeatureEdit], text: Tensor, x: Tensor) -> Tensor:
    new = x
    for edit in edits:
        aim = edit.strength * edit.maximum
        amount = torch.full_like(x[..., 0], aim)
        if edit.mode is Mode.CLAMP:
            amount = aim - edit.dictionary.encode_feature(x, edit.feature)
        new = new + (amount * text)[..., None] * edit.dictionary.decoder_row(edit.feature)
    return new


def test_logit_weights_are_what_a_feature_adds_in_the_last_block(
    pair: tuple[LanguageModel, torch.nn.Module], tokens: Tensor
) -> None:
    """With the final norm's divisor held, a small change in the last block moves the logits so."""
    model, _ = pair
    layer = model.n_layers - 1
    post = model.hook_point(f"blocks.{layer}.hook_resid_post")
    mlps = {HookKind.POST, HookKind.MLP_OUT, HookKind.MLP_RAW, HookKind.RESID_POST}
    for kind in set(model.kinds(layer)) & mlps:
        point = model.hook_point(f"blocks.{layer}.{kind}")
        if model.norm_behind(layer, kind) is not None:
            continue  # its own division depends on the token
        dictionary = random_dictionary(point.name, point.d_in).to(model.dtype)
        weights = logit_weights(model, dictionary, slice(0, 4)).double()
        before = model.capture(tokens, post)
        for feature in range(4):
            change = 1e-2 * dictionary.decoder_row(feature)
            with model.replaced(point, partial(torch.add, change)):
                moved = 1e2 * (model.capture(tokens, post) - before)
            effect = moved.float() @ model.unembedding()
            expected = (effect - effect.mean(-1, keepdim=True))[0, 3].double()
            torch.testing.assert_close(weights[feature], expected, rtol=1e-3, atol=5e-3)


def test_logits_are_the_unembedding_s_of_the_normed_stream(
    pair: tuple[LanguageModel, torch.nn.Module], tokens: Tensor
) -> None:
    """The scale of the logits (Cohere, Granite), far below any soft cap."""
    model, _ = pair
    hidden = 1e-2 * torch.randn(3, model.d_model).to(model.dtype)
    plain = hidden @ model.module.get_submodule(model.layout.unembedding).weight.T
    given = model.head(hidden) - model.head(torch.zeros_like(hidden))
    weight = model.module.get_submodule(model.layout.unembedding).weight
    scale = float((given * plain).sum() / (plain * plain).sum())
    torch.testing.assert_close(given, scale * plain, rtol=1e-3, atol=1e-6)
    assert model._logit_scale == pytest.approx(scale, rel=1e-3)
    assert weight.shape[1] == model.d_model


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, name: str) -> None:
    folder = save_folder(build(name), tmp_path / "model")
    with pytest.raises(ModelError, match=REFUSED[name]) as caught:
        load_model(folder)
    assert len(str(caught.value)) < 400


def test_neurons_of_experts_are_refused_in_a_sentence(tmp_path: Path) -> None:
    model = load_model(save_folder(build("mixtral"), tmp_path / "model"))
    with pytest.raises(HookPointError, match="many experts take turns"):
        model.hook_point("blocks.1.mlp.hook_post")
    assert HookKind.MLP_OUT in model.kinds(1)


@pytest.mark.parametrize(("name", "plain", "expert"), [("deepseek_v3", 0, 1), ("llama4", 0, 1)])
def test_plain_blocks_among_experts_have_neurons(
    tmp_path: Path, name: str, plain: int, expert: int
) -> None:
    model = load_model(save_folder(build(name), tmp_path / "model"))
    assert model.hook_point(f"blocks.{plain}.mlp.hook_post").d_in == 40
    with pytest.raises(HookPointError, match=r"built differently from others\. Block 1 has"):
        model.hook_point(f"blocks.{expert}.mlp.hook_post")
    assert HookKind.MLP_OUT in model.kinds(expert)


def test_blocks_that_differ_offer_what_they_have(tmp_path: Path) -> None:
    model = load_model(save_folder(build("lfm2"), tmp_path / "model"))
    assert HookKind.Z in model.kinds(1)
    assert HookKind.Z not in model.kinds(0)
    with pytest.raises(HookPointError, match="built differently"):
        model.hook_point("blocks.0.attn.hook_z")
