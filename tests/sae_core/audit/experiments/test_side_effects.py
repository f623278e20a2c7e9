"""Perplexity and KL on neutral text, controls, and what is said of a text without a model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sae_core.audit.experiments import outcomes
from sae_core.audit.experiments.controls import (
    as_long,
    direction,
    like_feature,
    random_direction,
)
from sae_core.audit.experiments.neutral import neutral_texts
from sae_core.audit.experiments.outcomes import TextPattern, has_words
from sae_core.audit.experiments.side_effects import arm_side_effects
from sae_core.audit.experiments.texts import SteeredArm
from sae_core.errors import ExperimentError
from sae_core.interventions.steering import FeatureEdit, Mode
from sae_core.language_model.model import LanguageModel
from tests.sae_core.interventions.steered_reference import HandEdit, steered_pass
from tests.sae_core.tiny_dictionaries import random_dictionary

POINT = "blocks.1.hook_resid_pre"


def test_neutral_texts_are_those_by_hand(gpt2: LanguageModel) -> None:
    dictionary = random_dictionary(POINT, gpt2.d_model)
    edit = FeatureEdit(dictionary, 4, Mode.ADD, 2.0, 1.0)
    arms = [SteeredArm("unsteered"), SteeredArm("add", (edit,))]
    rng = np.random.default_rng(0)
    texts = [torch.tensor([0, *rng.integers(1, 280, n)]) for n in (5, 12, 7, 9, 20, 3)]
    read = list(neutral_texts(gpt2, texts, arms))
    hand = HandEdit(dictionary, 4, "add", 2.0, 1.0)
    for text, own in zip(texts, read, strict=True):
        log_p = steered_pass(gpt2, text, [])[0].log_softmax(-1)[:-1]
        log_q = steered_pass(gpt2, text, [hand])[0].log_softmax(-1)[:-1]
        at = (torch.arange(len(text) - 1), text[1:])
        assert own.tokens == len(text) - 1
        assert own.loss == pytest.approx([float(-log_p[at].sum()), float(-log_q[at].sum())], 1e-4)
        kl = float((log_q.exp() * (log_q - log_p)).sum())
        assert own.kl == pytest.approx([0.0, kl], rel=1e-3)
    plain, added = arm_side_effects(read, ["unsteered", "add"])
    tokens = sum(own.tokens for own in read)
    assert plain.perplexity == pytest.approx(math.exp(sum(t.loss[0] for t in read) / tokens))
    assert plain.perplexity_low < plain.perplexity < plain.perplexity_high
    assert added.kl == pytest.approx(sum(t.kl[1] for t in read) / tokens)
    assert (plain.kl, plain.kl_low, plain.kl_high) == (0, 0, 0)
    assert 0 <= added.kl_low < added.kl < added.kl_high
    (alone, _) = arm_side_effects(read[:1], ["unsteered", "add"])
    assert math.isnan(alone.perplexity_low)


def test_a_control_is_as_active_and_as_long() -> None:
    dictionary = random_dictionary(POINT, 32, 400)
    firings = np.arange(400) * 10
    firings[250] = 0
    drawn = {like_feature(firings, 200, [201], seed) for seed in range(60)}
    assert len(drawn) > 20
    assert not drawn & {0, 200, 201, 250}
    assert max(abs(math.log(firings[f] / firings[200])) for f in drawn) < 0.35
    assert like_feature(firings, 200, [], 5) == like_feature(firings, 200, [], 5)
    with pytest.raises(ExperimentError, match="no control"):
        like_feature(np.eye(1, 30, 7, dtype=np.int64)[0], 7, [], 0)

    edit = FeatureEdit(dictionary, 3, Mode.ADD, 2.0, 5.0)
    other = as_long(edit, 9)
    lengths = [
        float((e.constant * e.dictionary.decoder_row(e.feature)).norm()) for e in (edit, other)
    ]
    assert lengths[0] == pytest.approx(lengths[1])
    with torch.no_grad():
        dictionary.W_dec[9] = 0
    with pytest.raises(ExperimentError, match="writes nothing"):
        as_long(edit, 9)

    vector = torch.linspace(-1, 2, 32)
    along = FeatureEdit(direction(POINT, vector), 0, Mode.ADD, 1.0, 1.0)
    torch.testing.assert_close(along.dictionary.decoder_row(0), vector)
    noise = random_direction(along, 3).dictionary.decoder_row(0)
    assert float(noise.norm()) == pytest.approx(float(vector.norm()), rel=1e-5)
    assert abs(float(torch.nn.functional.cosine_similarity(noise, vector, dim=0))) < 0.6


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Say YES.", True),
        ("yesterday", False),
        ("oh-yes", True),
        ("", False),
        ("eyes, yes", True),
        ("the answer is №1!", True),
    ],
)
def test_words_stand_alone(text: str, found: bool) -> None:
    assert has_words(text, ["yes", "№1"]) is found


def test_patterns_have_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TextPattern(r"def \w+").found("a def f")
    assert not TextPattern(r"^def").found("a def f")
    with pytest.raises(ExperimentError, match="is no pattern"):
        TextPattern("(")
    with pytest.raises(ExperimentError, match="at most"):
        TextPattern("x" * 1_001)
    monkeypatch.setattr(outcomes, "PATTERN_SECONDS", 0.05)
    with pytest.raises(ExperimentError, match="takes more than"):
        TextPattern(r"(?:(a|ab|b)+)+$").found("ab" * 2_000 + "!")
