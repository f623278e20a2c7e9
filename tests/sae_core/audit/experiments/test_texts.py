"""Texts of several arms in one batch, beside each text alone, the steering page's, and by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sae_core.audit.experiments.controls import direction
from sae_core.audit.experiments.texts import SteeredArm, TextPlan, batch_texts, prompts_at_once
from sae_core.errors import SteeringError
from sae_core.interventions.generation import Scope, generate
from sae_core.interventions.next_token import TokenSampling
from sae_core.interventions.repetition import distinct_share
from sae_core.interventions.steering import FeatureEdit, Mode
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.interventions.steered_reference import HandEdit, busiest, steered_pass
from tests.sae_core.tiny_dictionaries import random_dictionary

POINT = "blocks.1.hook_resid_pre"
PROMPTS = torch.tensor([[0, 9, 30, 31, 7], [0, 40, 41, 250, 3], [0, 9, 30, 31, 7]])
SEEDS = [[11, 12], [13, 14], [15, 16]]
ANSWERS = [[[20], [21, 22, 23]], [[24], [25]], [[26, 27], [28, 29]]]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def double(request: pytest.FixtureRequest) -> LanguageModel:
    folder: Path = request.getfixturevalue(f"{request.param}_folder")
    return load_model(folder, dtype="float64")


@pytest.fixture(scope="module")
def arms(double: LanguageModel) -> tuple[SteeredArm, ...]:
    dictionary = random_dictionary(POINT, double.d_model).double()
    feature = busiest(double, dictionary, [0, 9, 30, 31, 7, 40, 41, 250])
    vector = torch.linspace(-1, 1, double.d_model, dtype=torch.float64)
    along = direction(POINT, vector).double()

    def edit(mode: Mode, strength: float, of: int = feature) -> FeatureEdit:
        return FeatureEdit(dictionary, of, mode, strength, 2.0)

    return (
        SteeredArm("unsteered"),
        SteeredArm("add", (edit(Mode.ADD, 1.5),)),
        SteeredArm("two", (edit(Mode.CLAMP, 0.5), edit(Mode.CAP, 0.2, 3))),
        SteeredArm("scale", (edit(Mode.SCALE, -1.0),)),
        SteeredArm("direction", (FeatureEdit(along, 0, Mode.REMOVE, 1.0, 1.0),)),
    )


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize(
    "sampling", [TokenSampling(), TokenSampling(0.7, 0.9, 20), TokenSampling(0)]
)
def test_each_text_is_what_it_is_alone_and_on_the_steering_page(
    double: LanguageModel, arms: tuple[SteeredArm, ...], scope: Scope, sampling: TokenSampling
) -> None:
    plan = TextPlan(7, sampling, scope)
    together = batch_texts(double, PROMPTS, SEEDS, arms, plan, ANSWERS)
    for p, prompt in enumerate(PROMPTS):
        for a, arm in enumerate(arms):
            for s, seed in enumerate(SEEDS[p]):
                here = together.texts[p][a][s]
                alone = batch_texts(double, prompt[None], [[seed]], [arm], plan, [ANSWERS[p]])
                assert here == alone.texts[0][0][0]
                assert together.answers[p][a] == pytest.approx(alone.answers[0][0], abs=1e-10)
                seeded = replace(sampling, seed=seed)
                steps = generate(double, prompt, arm.edits, 7, seeded, scope)
                page = [drawn for step in steps for drawn in step if drawn.row == 1]
                assert here.text == "".join(drawn.text for drawn in page)
                assert here.tokens == tuple(drawn.token for drawn in page if not drawn.end)
                assert here.distinct == distinct_share(here.tokens)
    assert len({text.text for p in together.texts for arm in p for text in arm}) > 5


@pytest.mark.parametrize("scope", list(Scope))
def test_probabilities_of_answers_are_those_by_hand(
    double: LanguageModel, arms: tuple[SteeredArm, ...], scope: Scope
) -> None:
    plan = TextPlan(1, TokenSampling(0), scope)
    answers = batch_texts(double, PROMPTS, SEEDS, arms, plan, ANSWERS).answers
    for p, prompt in enumerate(PROMPTS.tolist()):
        for a, arm in enumerate(arms):
            edits = [
                HandEdit(e.dictionary, e.feature, e.mode.value, e.strength, e.maximum)
                for e in arm.edits
            ]
            for given, log_p in zip(ANSWERS[p], answers[p][a], strict=True):
                logits, _ = steered_pass(
                    double, [*prompt, *given[:-1]], edits, scope.begin(len(prompt))
                )
                own = logits[len(prompt) - 1 :].log_softmax(-1)
                by_hand = sum(float(row[token]) for row, token in zip(own, given, strict=True))
                assert log_p == pytest.approx(by_hand, abs=1e-6)


def test_a_stop_text_and_an_end_token_end_a_text(double: LanguageModel) -> None:
    plan = TextPlan(12, TokenSampling())
    plain = batch_texts(double, PROMPTS, SEEDS, [SteeredArm("unsteered")], plan).texts[0][0][0]
    stop = plain.text[3:5]
    cut = batch_texts(
        double, PROMPTS, SEEDS, [SteeredArm("unsteered")], replace(plan, stops=(stop,))
    ).texts[0][0][0]
    assert cut.text == plain.text[: plain.text.index(stop)]
    assert len(cut.tokens) < len(plain.tokens)
    end = plain.tokens[2]
    ended = batch_texts(
        double, PROMPTS, SEEDS, [SteeredArm("unsteered")], replace(plan, ends=frozenset({end}))
    ).texts[0][0][0]
    assert ended.tokens == plain.tokens[: plain.tokens.index(end)]


def test_an_arm_without_numbers_is_named(double: LanguageModel) -> None:
    dictionary = random_dictionary(POINT, double.d_model).double()
    far = SteeredArm("much too far", (FeatureEdit(dictionary, 1, Mode.ADD, 1e200, 1e108),))
    with pytest.raises(SteeringError, match="much too far"):
        batch_texts(double, PROMPTS, SEEDS, [SteeredArm("unsteered"), far], TextPlan(3))


def test_the_size_of_a_batch_hangs_on_model_and_plan(double: LanguageModel) -> None:
    few, many = (prompts_at_once(double, length, 10, 6) for length in (400, 4))
    assert 1 <= few < many
    assert few * 10 * 406 <= 16_384
    assert prompts_at_once(double, 100_000, 10, 6) == 1
