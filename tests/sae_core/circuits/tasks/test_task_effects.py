"""Effects along all paths in one pass backwards, against sums over the paths of whole graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sae_core.circuits.frozen.parts import wire
from sae_core.circuits.frozen.rows import Targets, causes_of
from sae_core.circuits.tasks.effects import feature_effects
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.language_model.model import LanguageModel
from tests.sae_core.circuits.test_build import PROMPT
from tests.sae_core.circuits.test_edges import transcoder
from tests.sae_core.tiny_dictionaries import random_dictionary

RIGHT, WRONG = 3, 77


def dictionaries(kind: str) -> list[Dictionary]:
    if kind == "neurons":
        return [NeuronBasis(f"blocks.{layer}.mlp.hook_post", 48) for layer in range(3)]
    if kind == "residual":
        return [random_dictionary(f"blocks.{layer}.hook_resid_post", 32) for layer in (0, 1)]
    return [transcoder(layer, skip=layer == 1) for layer in range(3)]


@pytest.mark.parametrize("kind", ["transcoders", "neurons", "residual"])
def test_effects_are_those_of_all_paths(gpt2: LanguageModel, kind: str) -> None:
    wiring = wire(gpt2, dictionaries(kind))
    causes = causes_of(gpt2, PROMPT, wiring)
    features = torch.arange(causes.begins[0], causes.begins[-1])
    rows = causes.rows(Targets(torch.tensor([RIGHT, WRONG]), features)).double().numpy()
    own = slice(causes.begins[0], causes.begins[-1])
    # e = r + sum over features f in between of e_f / a_f times the edges into f.
    values = torch.cat([firing.values for firing in causes.firings]).double().numpy()
    into = rows[2:, own] / values[:, None]
    expected = np.linalg.solve(np.eye(len(values)) - into.T, (rows[0] - rows[1])[own])

    by_hidden = torch.zeros(len(PROMPT), gpt2.d_model)
    directions = gpt2.logit_directions(torch.tensor([RIGHT, WRONG]))
    by_hidden[-1] = directions[0] - directions[1]
    got = torch.cat(feature_effects(causes, by_hidden)).double().numpy()

    assert len(got) > 50
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
