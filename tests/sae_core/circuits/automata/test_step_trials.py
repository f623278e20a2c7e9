"""Checks of steps: what plain hooks on a float64 copy of the model give, context by context."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from sae_core.circuits.automata.steering import Arm, ArmCount, StepTrial, try_step
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import SteeringError
from sae_core.language_model.model import LanguageModel
from tests.sae_core.interventions.steered_reference import HandEdit, steered_pass
from tests.sae_core.tiny_dictionaries import random_dictionary

SOURCE, TARGET, OTHERS = 3, 5, (1, 7)
LENGTH = 6


@pytest.fixture(scope="module")
def dictionary(gpt2: LanguageModel) -> Dictionary:
    point = gpt2.hook_point("blocks.1.hook_mlp_out")
    return random_dictionary(point.name, point.d_in)


@pytest.fixture(scope="module")
def trial() -> StepTrial:
    """More contexts than are computed at once; half of the tokens count as written."""
    drawn = torch.randint(1, 200, (20, LENGTH), generator=torch.Generator().manual_seed(0))
    contexts = tuple(tuple(context) for context in drawn.tolist())
    return StepTrial(SOURCE, TARGET, 4.0, (1.0, 30.0), contexts, tuple(range(150)), OTHERS)


def by_hand(
    model: LanguageModel, dictionary: Dictionary, trial: StepTrial, arm: Arm, strength: float
) -> ArmCount:
    """One arm: a whole pass for each context, the edit written out, and another unsteered."""
    double = copy.deepcopy(dictionary).double()
    fired = wrote = 0
    for n, context in enumerate(trial.contexts):
        feature, maximum = trial.source, trial.maximum
        if arm is Arm.RANDOM:
            feature = trial.others[n % 2]
            lengths = double.decoder_rows.norm(dim=1)
            maximum *= float(lengths[trial.source] / lengths[feature])
        size = 0.0 if arm is Arm.UNSTEERED else strength
        edit = HandEdit(dictionary, feature, "add", size, maximum)
        logits, _ = steered_pass(model, context, [edit], LENGTH - 1)
        token = int(logits[-1].argmax())
        wrote += token in trial.written
        plain = HandEdit(dictionary, feature, "add", 0.0, 0.0)
        _, seen = steered_pass(model, (*context, token), [plain])
        fired += bool(double.encode(seen[dictionary.hook_point][-1])[trial.target] > 0)
    return ArmCount(arm, strength, len(trial.contexts), fired, wrote)


def test_every_arm_is_what_hooks_give(
    gpt2: LanguageModel, dictionary: Dictionary, trial: StepTrial
) -> None:
    counts = [count for count in try_step(gpt2, dictionary, trial) if count is not None]
    assert [(c.arm, c.strength) for c in counts] == [
        (Arm.UNSTEERED, 0.0),
        *((arm, s) for s in trial.strengths for arm in (Arm.STEERED, Arm.RANDOM)),
    ]
    for count in counts:
        assert count == by_hand(gpt2, dictionary, trial, count.arm, count.strength)
    # The arms differ, or the comparison would say nothing.
    assert len({(c.fired, c.wrote) for c in counts}) > 2


def test_what_cannot_be_tried_is_a_sentence(
    gpt2: LanguageModel, dictionary: Dictionary, trial: StepTrial
) -> None:
    uneven = replace(trial, contexts=((1, 2), (1,)))
    with pytest.raises(SteeringError, match="equally long"):
        list(try_step(gpt2, dictionary, uneven))
    with pytest.raises(SteeringError, match="does not know"):
        list(try_step(gpt2, dictionary, replace(trial, contexts=((10**6,),))))
    silent = copy.deepcopy(dictionary)
    with torch.no_grad():
        silent.W_dec[SOURCE] = 0
    with pytest.raises(SteeringError, match="has no direction"):
        list(try_step(gpt2, silent, trial))
