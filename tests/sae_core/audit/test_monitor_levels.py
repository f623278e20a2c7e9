"""Levels of a monitor on texts, beside the dictionary's own encode in float64."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from sae_core.audit.monitors.levels import LevelReader, monitor_levels, read_levels, text_pieces
from sae_core.audit.monitors.monitor import LevelPooling, Monitor
from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.normalised import InputNorm, NormalisedDictionary
from sae_core.errors import FeaturescopeError
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.model import LanguageModel

POINT = "blocks.1.hook_resid_post"
TEXTS = (
    "a fox jumps",
    "",
    "def read(path): return 1\n" * 3,
    "x",
    "the dog sleeps and sleeps " * 30,
)


def dictionary(kind: str, d_in: int) -> Dictionary:
    made: Dictionary
    if kind == "standard":
        made = StandardDictionary(POINT, d_in, 90)
    elif kind == "jumprelu":
        made = JumpReLUDictionary(POINT, d_in, 90)
    else:
        made = TopKDictionary(POINT, d_in, 90, k=12)
    draw = torch.Generator().manual_seed(4)
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw)
    if isinstance(made, JumpReLUDictionary):
        made.threshold.data.abs_()
    made = made.requires_grad_(False)
    return NormalisedDictionary(made, InputNorm.LAYER_NORM) if kind == "normalised topk" else made


KINDS = ("standard", "jumprelu", "topk", "normalised topk")


@pytest.mark.parametrize("kind", KINDS)
def test_levels_are_those_of_the_whole_encoding_in_float64(gpt2: LanguageModel, kind: str) -> None:
    own = dictionary(kind, gpt2.d_model)
    watched = Monitor(((3, 0.5), (40, -2.0), (77, 1.0)))
    double = copy.deepcopy(own).double()
    rows = [text_pieces(gpt2, text) for text in TEXTS]
    read = list(read_levels(gpt2, [LevelReader(gpt2, own, watched)], rows))
    point = gpt2.hook_point(POINT, gpt2.d_model)
    for pieces, made in zip(rows, read, strict=True):
        expected = []
        for piece in pieces:
            x = gpt2.capture(torch.tensor([piece]), point)[0].double()
            acts = double.encode(x)
            level = sum(weight * acts[:, feature] for feature, weight in watched.members)
            special = torch.tensor([token in gpt2.vocabulary.special for token in piece])
            expected.append(torch.as_tensor(level).masked_fill(special, 0).numpy())
        if expected:
            np.testing.assert_allclose(made.levels[0], np.concatenate(expected), atol=2e-4)
            assert made.level[0] == made.levels[0][made.is_text].max()
        else:
            assert math.isnan(made.level[0])
    assert any(len(pieces) > 1 for pieces in rows)  # a text longer than the context


@pytest.mark.parametrize("kind", KINDS)
def test_some_features_are_encoded_as_all_are(kind: str) -> None:
    own = dictionary(kind, 12)
    for n in (1, 3, 50):
        x = torch.randn(n, 2, 12, generator=torch.Generator().manual_seed(n))
        for features in ([5], [5, 9, 2], list(range(0, 90, 7))):
            torch.testing.assert_close(own.encoder_of(features)(x), own.encode(x)[..., features])


@pytest.mark.parametrize("pooling", LevelPooling)
def test_a_direction_is_a_product_with_the_activation(
    gpt2: LanguageModel, pooling: LevelPooling
) -> None:
    own = dictionary("standard", gpt2.d_model)
    direction = np.random.default_rng(0).normal(size=gpt2.d_model)
    watched = Monitor(direction=tuple(direction), offset=0.25, pooling=pooling)
    point = gpt2.hook_point(POINT, gpt2.d_model)
    text = "the quick fox"
    x = gpt2.capture(prompt_tokens(gpt2, text)[None], point)[0].double().numpy()[1:]
    expected = pooling.of(x @ direction + 0.25)
    levels = monitor_levels(gpt2, own, watched, [text, "", "other texts beside it are no matter"])
    assert levels[0] == pytest.approx(expected, abs=1e-4)
    assert math.isnan(levels[1])


def test_what_does_not_fit_is_refused(gpt2: LanguageModel) -> None:
    own = dictionary("standard", gpt2.d_model)
    for wrong in (Monitor(((90, 1.0),)), Monitor(direction=(1.0, 2.0))):
        with pytest.raises(FeaturescopeError, match=r"There is no feature 90|has 2 numbers"):
            LevelReader(gpt2, own, wrong)
