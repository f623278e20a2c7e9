"""Occlusion against a brute force in float64: one whole forward pass for each missing token."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import HookPointError, PromptError
from sae_core.interventions.occlusion import FeatureReading, read_feature
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.language_model.pace import Pace
from tests.sae_core.interventions.test_ablation import brute_logits
from tests.sae_core.language_model.double_models import double, in_double
from tests.sae_core.tiny_dictionaries import random_dictionary

HOOKS = ["blocks.0.hook_resid_pre", "blocks.1.attn.hook_z", "blocks.1.hook_resid_mid"]
HOOKS += ["blocks.1.mlp.hook_post", "blocks.2.hook_mlp_out", "blocks.2.hook_resid_post"]


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    """BOS, text, and an end of text among it."""
    ids = torch.randint(1, 280, (15,), generator=torch.Generator().manual_seed(4))
    ids[0] = ids[6] = 0
    return ids


@torch.no_grad()
def activations(
    model: LanguageModel, dictionary: Dictionary, feature: int, tokens: list[int]
) -> list[float]:
    """The feature on every token, from one whole forward pass."""
    x: list[Tensor] = []
    brute_logits(
        in_double(model.path),
        dictionary.hook_point,
        torch.tensor(tokens),
        lambda seen: x.append(seen) or seen,
    )
    return dictionary.encode(x[0][0])[:, feature].tolist()


def occluded(reading: FeatureReading, replacement: int | None = None) -> dict[int, float]:
    """Every missing token's activation; none may come twice."""
    found: dict[int, float] = {}
    for event in reading.occlusions(replacement):
        assert event.positions.shape == event.activations.shape
        for position, activation in zip(
            event.positions.tolist(), event.activations.tolist(), strict=True
        ):
            assert position not in found
            found[position] = activation
    return found


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_equals_brute_force(architecture: str, hook: str, tokens: Tensor, request: Any) -> None:
    single: LanguageModel = request.getfixturevalue(architecture)
    model = double(single)
    dictionary = random_dictionary(hook, model.hook_point(hook).d_in).double()
    ids = tokens.tolist()
    text = [n for n in range(15) if ids[n] != 0]
    changed = 0
    for feature in (1, 5, 9):
        clean = activations(model, dictionary, feature, ids)
        strongest = max(text, key=lambda n, clean=clean: clean[n])
        if clean[strongest] == 0:
            strongest = text[-1]
        for position in (None, 3, 14):
            at = strongest if position is None else position
            reading = read_feature(model, dictionary, feature, tokens, position)
            assert reading.position == at
            assert reading.activation == pytest.approx(clean[at], rel=0, abs=1e-9)
            for replacement in (None, 40):
                found = occluded(reading, replacement)
                assert sorted(found) == text
                for missing, activation in found.items():
                    wanted = brute(model, dictionary, feature, ids, missing, at, replacement)
                    if math.isnan(wanted):
                        assert math.isnan(activation)
                        continue
                    assert activation == pytest.approx(wanted, rel=0, abs=1e-9)
                    changed += abs(activation - clean[at]) > 1e-3
            rough = occluded(read_feature(single, dictionary.float(), feature, tokens, position))
            exact = occluded(read_feature(model, dictionary.double(), feature, tokens, position))
            assert rough == pytest.approx(exact, rel=0, abs=1e-4, nan_ok=True)
    # Before the first attention no token hangs on another but through its place.
    assert changed > 0


def brute(
    model: LanguageModel,
    dictionary: Dictionary,
    feature: int,
    ids: list[int],
    missing: int,
    position: int,
    replacement: int | None,
) -> float:
    """What is read when one token is missing, from the whole prompt without it."""
    if replacement is not None:
        changed = [replacement if n == missing else token for n, token in enumerate(ids)]
        return activations(model, dictionary, feature, changed)[position]
    if missing == position:
        return math.nan
    changed = [token for n, token in enumerate(ids) if n != missing]
    return activations(model, dictionary, feature, changed)[position - (missing < position)]


def test_what_stands_behind_changes_nothing_at_all(gpt2: LanguageModel, tokens: Tensor) -> None:
    reading = read_feature(gpt2, random_dictionary(HOOKS[3], 48), 5, tokens, 7)
    for replacement in (None, 9):
        found = occluded(reading, replacement)
        after = {round(found[n], 9) for n in range(8, 15)}
        assert after == {round(reading.activation, 9)}


def test_the_very_token_leaves_nothing_to_read(gpt2: LanguageModel, tokens: Tensor) -> None:
    reading = read_feature(gpt2, random_dictionary(HOOKS[3], 48), 5, tokens, 7)
    assert math.isnan(occluded(reading)[7])
    assert not math.isnan(occluded(reading, 9)[7])
    # A special token in its place: no feature counts on one.
    assert math.isnan(occluded(reading, 0)[7])


def test_batches_do_not_matter(
    llama: LanguageModel, tokens: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = read_feature(llama, random_dictionary(HOOKS[5], 32), 5, tokens, 13)
    together = occluded(reading)
    monkeypatch.setattr(Pace, "rows", lambda self, length: 2)
    assert len(list(reading.occlusions())) == 8  # itself, twelve others by two, one behind
    assert occluded(reading) == pytest.approx(together, rel=0, abs=1e-5, nan_ok=True)


def test_the_nearest_tokens_come_first(gpt2: LanguageModel, tokens: Tensor) -> None:
    reading = read_feature(gpt2, random_dictionary(HOOKS[3], 48), 5, tokens, 9)
    assert list(occluded(reading)) == [9, 8, 7, 5, 4, 3, 2, 1, 10, 11, 12, 13, 14]
    assert list(occluded(reading, 7)) == [9, 8, 7, 5, 4, 3, 2, 1, 10, 11, 12, 13, 14]


def test_a_feature_that_fires_nowhere_is_read_on_the_last_token(gpt2: LanguageModel) -> None:
    dictionary = random_dictionary(HOOKS[3], 48)
    with torch.no_grad():
        dictionary.b_enc.fill_(-1e6)
    reading = read_feature(gpt2, dictionary, 5, torch.tensor([0, 7, 8, 9, 0]))
    assert (reading.position, reading.activation) == (3, 0.0)
    assert occluded(reading) == pytest.approx({3: math.nan, 2: 0.0, 1: 0.0}, nan_ok=True)


def test_a_model_without_bos_may_be_left_one_token(gpt2_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(gpt2_folder, tmp_path / "model")
    settings = json.dumps({"bos_token": None})
    (tmp_path / "model" / "tokenizer_config.json").write_text(settings)
    model = double(load_model(tmp_path / "model"))
    dictionary = random_dictionary(HOOKS[3], 48).double()
    for ids in ([33], [33, 44], [33, 44, 55]):
        last = len(ids) - 1
        found = occluded(read_feature(model, dictionary, 3, torch.tensor(ids), last))
        wanted = {n: brute(model, dictionary, 3, ids, n, last, None) for n in range(len(ids))}
        assert found == pytest.approx(wanted, rel=0, abs=1e-9, nan_ok=True)


def test_what_is_not_there_is_refused_with_the_numbers(gpt2: LanguageModel, tokens: Tensor) -> None:
    dictionary = random_dictionary(HOOKS[3], 48)
    for position in (-1, 15):
        with pytest.raises(PromptError, match=rf"no position {position}: .* 15 tokens, 0 to 14"):
            read_feature(gpt2, dictionary, 0, tokens, position)
    with pytest.raises(PromptError, match="position 6 stands a special token"):
        read_feature(gpt2, dictionary, 0, tokens, 6)
    with pytest.raises(PromptError, match="no feature 24: the dictionary has 24 features"):
        read_feature(gpt2, dictionary, 24, tokens)
    with pytest.raises(PromptError, match="no text in which"):
        read_feature(gpt2, dictionary, 0, torch.tensor([0]))
    with pytest.raises(PromptError, match=r"65 tokens.* at most 64"):
        read_feature(gpt2, dictionary, 0, torch.ones(65, dtype=torch.int64))
    with pytest.raises(PromptError, match=r"no token 300: .* 300 tokens, 0 to 299"):
        read_feature(gpt2, dictionary, 0, tokens).occlusions(300)
    with pytest.raises(HookPointError, match=r"width 7.*width 48"):
        read_feature(gpt2, random_dictionary(HOOKS[3], 7), 0, tokens)
