"""Attribution against a brute force in float64: one whole forward pass for each feature."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import HookPointError, PromptError
from sae_core.interventions.attribution import AttributedPrediction, FeatureEffects, predict
from sae_core.language_model import clean_run
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.language_model.pace import Pace
from tests.sae_core.interventions.test_ablation import KINDS, brute_logits
from tests.sae_core.language_model.double_models import double, in_double
from tests.sae_core.tiny_dictionaries import random_dictionary


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    """BOS, twenty tokens, and an end of text among them."""
    ids = torch.randint(1, 280, (21,), generator=torch.Generator().manual_seed(4))
    ids[0] = ids[8] = 0
    return ids


@torch.no_grad()
def brute_force(
    model: LanguageModel,
    dictionary: Dictionary,
    removed: Sequence[int],
    tokens: Tensor,
    position: int,
    target: int,
    share: float = 1.0,
) -> float:
    """log p_clean - log p_ablated of the target, from whole forward passes in float64."""
    special = torch.tensor([int(token) in model.vocabulary.special for token in tokens])

    def edit(x: Tensor) -> Tensor:
        acts = dictionary.encode(x).masked_fill(special[:, None], 0.0)
        for feature in removed:
            x = x - share * acts[..., feature, None] * dictionary.decoder_rows[feature]
        return x

    module = in_double(model.path)
    clean = brute_logits(module, dictionary.hook_point, tokens, lambda x: x)
    ablated = brute_logits(module, dictionary.hook_point, tokens, edit)
    change = clean.log_softmax(-1) - ablated.log_softmax(-1)
    return float(change[position - 1, target])


@torch.no_grad()
def active(
    model: LanguageModel, dictionary: Dictionary, tokens: Tensor, position: int
) -> list[int]:
    """Features that fire on text before the position."""
    x: list[Tensor] = []
    brute_logits(
        in_double(model.path), dictionary.hook_point, tokens, lambda seen: x.append(seen) or seen
    )
    text = [n for n in range(position) if int(tokens[n]) not in model.vocabulary.special]
    return (dictionary.encode(x[0][0, text]) > 0).any(0).nonzero()[:, 0].tolist()


def all_effects(prediction: AttributedPrediction) -> tuple[list[FeatureEffects], dict[int, float]]:
    """The events, and each feature's effect; no feature may come twice."""
    events = list(prediction.effects(prediction.estimates()))
    features = [feature for event in events for feature in event.features.tolist()]
    changes = [change for event in events for change in event.loss_change.tolist()]
    assert len(features) == len(set(features))
    assert sorted(features) == prediction.features.tolist()
    return events, dict(zip(features, changes, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_equals_brute_force_everywhere(
    architecture: str, layer: int, kind: str, tokens: Tensor, request: Any
) -> None:
    single: LanguageModel = request.getfixturevalue(architecture)
    model = double(single)
    point = model.hook_point(f"blocks.{layer}.{kind}")
    dictionary = random_dictionary(point.name, point.d_in, d_sae=12).double()
    for position, target in ((21, 33), (14, None)):
        prediction = predict(model, dictionary, tokens, position, target)
        assert prediction.features.tolist() == active(model, dictionary, tokens, position)
        _, effects = all_effects(prediction)
        wanted = target or int(tokens[position])
        for feature, change in effects.items():
            brute = brute_force(model, dictionary, [feature], tokens, position, wanted)
            assert change == pytest.approx(brute, rel=0, abs=1e-9)
        assert any(abs(change) > 1e-3 for change in effects.values())
        _, rounded = all_effects(predict(single, dictionary.float(), tokens, position, target))
        dictionary.double()
        assert rounded == pytest.approx(effects, rel=0, abs=1e-4)


@pytest.mark.parametrize("architecture", ["topk", "neurons"])
def test_equals_brute_force_on_the_demo_shape(
    architecture: str, relu_model: LanguageModel, tokens: Tensor
) -> None:
    model = double(relu_model)
    dictionary = random_dictionary("blocks.0.mlp.hook_post", 48, architecture=architecture).double()
    prediction = predict(model, dictionary, tokens, 20)
    _, effects = all_effects(prediction)
    assert list(effects) != sorted(effects)
    for feature, change in effects.items():
        brute = brute_force(model, dictionary, [feature], tokens, 20, int(tokens[20]))
        assert change == pytest.approx(brute, rel=0, abs=1e-9)


def test_a_model_without_bos(gpt2_folder: Path, tokens: Tensor, tmp_path: Path) -> None:
    shutil.copytree(gpt2_folder, tmp_path / "model")
    settings = json.dumps({"bos_token": None})
    (tmp_path / "model" / "tokenizer_config.json").write_text(settings)
    model = double(load_model(tmp_path / "model"))
    assert model.vocabulary.bos is None
    dictionary = random_dictionary("blocks.1.hook_resid_mid", 32, d_sae=8).double()
    for position in (1, 2, 19):
        _, effects = all_effects(predict(model, dictionary, tokens[1:], position))
        assert list(effects)
        for feature, change in effects.items():
            target = int(tokens[1 + position])
            brute = brute_force(model, dictionary, [feature], tokens[1:], position, target)
            assert change == pytest.approx(brute, rel=0, abs=1e-9)


@pytest.mark.parametrize("verdict", ["takes_up", "takes_up_midway"])
def test_architectures_that_cannot_be_taken_up(
    verdict: str, llama: LanguageModel, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = double(llama)
    for name, refused in (("takes_up", verdict == "takes_up"), ("takes_up_midway", True)):
        monkeypatch.setattr(clean_run, name, lambda *_, refused=refused: not refused)
    for hook in ("blocks.1.mlp.hook_post", "blocks.2.mlp.hook_post"):
        dictionary = random_dictionary(hook, 40, d_sae=8).double()
        _, effects = all_effects(predict(model, dictionary, tokens, 15))
        for feature, change in effects.items():
            brute = brute_force(model, dictionary, [feature], tokens, 15, int(tokens[15]))
            assert change == pytest.approx(brute, rel=0, abs=1e-9)


@pytest.mark.parametrize("architecture", ["standard", "topk", "neurons"])
@pytest.mark.parametrize("hook", ["blocks.0.hook_resid_mid", "blocks.1.mlp.hook_post"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_estimates_are_the_slope_of_the_ablation(
    name: str, hook: str, architecture: str, tokens: Tensor, request: Any
) -> None:
    model = double(request.getfixturevalue(name))
    d_in = model.hook_point(hook).d_in
    dictionary = random_dictionary(hook, d_in, d_sae=12, architecture=architecture).double()
    prediction = predict(model, dictionary, tokens, 20, 77)
    estimates = prediction.estimates()
    assert estimates.shape == prediction.features.shape
    for feature, estimate in zip(prediction.features.tolist(), estimates.tolist(), strict=True):
        ahead, back = (
            brute_force(model, dictionary, [feature], tokens, 20, 77, share)
            for share in (1e-4, -1e-4)
        )
        assert estimate == pytest.approx((ahead - back) / 2e-4, rel=1e-5, abs=1e-6)
    assert float(estimates.abs().max()) > 1e-3


def test_only_the_last_position_counts_where_no_attention_follows(
    relu_model: LanguageModel, tokens: Tensor
) -> None:
    dictionary = random_dictionary("blocks.0.mlp.hook_post", 48)
    prediction = predict(relu_model, dictionary, tokens, 20)
    x = relu_model.capture(tokens[None], relu_model.hook_point("blocks.0.mlp.hook_post"))[0]
    there = (dictionary.encode(x[19]) > 0).nonzero()[:, 0].tolist()
    events, effects = all_effects(prediction)
    silent = sorted(set(effects) - set(there))
    assert sorted(events[-1].features.tolist()) == silent != []
    assert all(effects[feature] == 0.0 for feature in silent)
    for feature, estimate in zip(prediction.features, prediction.estimates(), strict=True):
        assert (float(estimate) == 0.0) == (int(feature) in silent)


def test_together_equals_brute_force(llama: LanguageModel, tokens: Tensor) -> None:
    model = double(llama)
    for hook in ("blocks.0.hook_mlp_out", "blocks.2.hook_resid_post"):
        dictionary = random_dictionary(hook, 32, d_sae=12).double()
        _, single = all_effects(predict(model, dictionary, tokens, 17))
        for chosen in ([3], [0, 3, 5], [5, 3, 3], list(range(12))):
            together = predict(model, dictionary, tokens, 17, None, chosen).together()
            brute = brute_force(model, dictionary, sorted(set(chosen)), tokens, 17, int(tokens[17]))
            assert together == pytest.approx(brute, rel=0, abs=1e-9)
        # Effects do not add up, or the brute force would prove little.
        assert abs(together - sum(single.values())) > 1e-2
        for feature, change in single.items():
            alone = predict(model, dictionary, tokens, 17, None, [feature]).together()
            assert alone == pytest.approx(change, rel=0, abs=1e-9)


def test_features_that_do_not_fire_change_nothing(gpt2: LanguageModel, tokens: Tensor) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    with torch.no_grad():
        dictionary.b_enc[4:8] = -1e6
    assert not {4, 5, 6, 7} & set(predict(gpt2, dictionary, tokens, 20).features.tolist())
    prediction = predict(gpt2, dictionary, tokens, 20, None, [7, 4, 7])
    assert prediction.features.tolist() == [4, 7]
    assert prediction.estimates().tolist() == [0.0, 0.0]
    assert all_effects(prediction)[1] == {4: 0.0, 7: 0.0}
    assert prediction.together() == 0.0


def test_only_the_features_that_were_asked_for(gpt2: LanguageModel, tokens: Tensor) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    every = predict(gpt2, dictionary, tokens, 20)
    some = predict(gpt2, dictionary, tokens, 20, None, [9, 2])
    assert some.features.tolist() == [2, 9]
    estimates = dict(zip(every.features.tolist(), every.estimates().tolist(), strict=True))
    assert some.estimates().tolist() == pytest.approx([estimates[2], estimates[9]], abs=1e-6)
    effects, wanted = all_effects(some)[1], all_effects(every)[1]
    assert effects == pytest.approx({f: wanted[f] for f in (2, 9)}, abs=1e-5)


def test_before_any_text_nothing_is_responsible(gpt2: LanguageModel, tokens: Tensor) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    prediction = predict(gpt2, dictionary, tokens, 1)
    assert prediction.log_probability < 0
    assert len(prediction.features) == len(prediction.estimates()) == 0
    assert all_effects(prediction) == ([], {})
    assert prediction.together() == 0.0


def test_the_largest_estimates_come_first_and_batches_do_not_matter(
    gpt2: LanguageModel, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    dictionary = random_dictionary("blocks.0.mlp.hook_post", 48, d_sae=200)
    prediction = predict(gpt2, dictionary, tokens, 20)
    _, together = all_effects(prediction)
    monkeypatch.setattr(Pace, "rows", lambda self, length: 1)
    events, apart = all_effects(prediction)
    assert len(events) == len(apart) > 128
    assert apart == pytest.approx(together, rel=0, abs=1e-5)
    size = prediction.estimates().abs()
    rank = size.argsort(descending=True, stable=True)
    leading = [int(event.features[0]) for event in events[:32]]
    assert sorted(leading) == sorted(prediction.features[rank[:32]].tolist())
    following = [int(event.features[0]) for event in events[32:160]]
    assert sorted(following) == sorted(prediction.features[rank[32:160]].tolist())


def test_equals_the_effect_that_ablation_finds(llama: LanguageModel, tokens: Tensor) -> None:
    from sae_core.interventions.ablation import ablate

    dictionary = random_dictionary("blocks.1.hook_resid_post", 32)
    effects = all_effects(predict(llama, dictionary, tokens, 18))[1]
    for feature, change in effects.items():
        (wanted,) = ablate(llama, dictionary, feature, [tokens])
        found = dict(zip(wanted.positions.tolist(), wanted.loss_change.tolist(), strict=True))
        assert change == pytest.approx(found[18], abs=1e-5)


def test_closing_the_work_leaves_the_model_clean(gpt2: LanguageModel, tokens: Tensor) -> None:
    before = gpt2.logits(tokens[None])
    prediction = predict(gpt2, random_dictionary("blocks.1.hook_mlp_out", 32), tokens, 20)
    work = prediction.effects(prediction.estimates())
    next(work)
    work.close()  # type: ignore[attr-defined]
    assert torch.equal(gpt2.logits(tokens[None]), before)
    assert not prediction.estimates().requires_grad


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"position": 0}, "position 0: the prompt has 21 tokens.* 1 to 21 "),
        ({"position": 22}, "position 22: the prompt has 21 tokens"),
        ({"position": 21}, "No token stands at position 21, .* 21 tokens: name"),
        ({"target": 300}, "no token 300: .* 300 tokens, 0 to 299"),
        ({"target": -1}, "no token -1"),
        ({"features": [3, 24]}, "no feature 24: the dictionary has 24 features, 0 to 23"),
        ({"tokens": torch.ones(65, dtype=torch.int64)}, "65 tokens.* at most 64"),
        ({"tokens": torch.tensor([0, 300])}, "no token 300"),
    ],
)
def test_questions_without_an_answer_are_refused_with_the_numbers(
    question: dict[str, Any], words: str, gpt2: LanguageModel, tokens: Tensor
) -> None:
    dictionary = random_dictionary("blocks.1.mlp.hook_post", 48)
    with pytest.raises(PromptError, match=words):
        predict(gpt2, dictionary, **{"tokens": tokens, "position": 20} | question)


def test_refuses_a_dictionary_that_does_not_fit(gpt2: LanguageModel, tokens: Tensor) -> None:
    with pytest.raises(HookPointError, match=r"width 7.*width 48"):
        predict(gpt2, random_dictionary("blocks.1.mlp.hook_post", 7), tokens, 20)


@pytest.mark.parametrize("maker", ["gpt2", "llama"])
def test_estimates_after_work_in_inference_mode(maker: str, tokens: Tensor, request: Any) -> None:
    """Harvests and generations run so; what they leave in the model must not stop a gradient."""
    model = load_model(request.getfixturevalue(maker).path)
    dictionary = random_dictionary("blocks.0.hook_mlp_out", 32)
    with torch.inference_mode():
        model.head(model.final_hidden(tokens[None])[0])
        before = predict(model, dictionary, tokens, 20)
        assert list(before.effects(torch.zeros(len(before.features))))
    assert float(predict(model, dictionary, tokens, 20).estimates().abs().max()) > 0
