"""Answers under monitors: levels while decoding and after, alarms, and the three gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from sae_core.audit.monitors.guard import (
    ANSWER,
    TOGETHER,
    AlarmGate,
    GuardedStep,
    GuardPlan,
    JudgedTurn,
    RaisedAlarm,
    RefusedAnswer,
    guarded_answers,
)
from sae_core.audit.monitors.levels import LevelReader, read_levels
from sae_core.audit.monitors.monitor import LevelPooling, Monitor, Numbers
from sae_core.dictionaries.checkpoint import neuron_basis
from sae_core.errors import SteeringError
from sae_core.interventions.answers import (
    AnswerPlan,
    AnswerToken,
    Watched,
    answers,
)
from sae_core.interventions.next_token import TokenSampling
from sae_core.interventions.prompt import prompt_tokens
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Mode, Steering
from sae_core.language_model.model import LanguageModel
from sae_core.text.chat.conversation import Conversation, plain_text

POINT = "blocks.1.mlp.hook_post"
ASKED = AnswerPlan(12, TokenSampling(seed=5))
NEVER = 1e9


@pytest.fixture(params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    found: LanguageModel = request.getfixturevalue(request.param)
    return found


def prompt(model: LanguageModel) -> Conversation:
    tokens = prompt_tokens(model, "the quick fox").numpy()
    return plain_text(tokens, model.vocabulary.special)


def reader(
    model: LanguageModel,
    members: Sequence[tuple[int, float]] = ((2, 1.0), (5, -0.5), (9, 2.0)),
    pooling: LevelPooling = LevelPooling.MAX,
) -> LevelReader:
    width = model.write_point(POINT).d_in
    return LevelReader(model, neuron_basis(POINT, width), Monitor(tuple(members), pooling=pooling))


def edit(model: LanguageModel, strength: float = 40.0) -> FeatureEdit:
    width = model.write_point(POINT).d_in
    return FeatureEdit(neuron_basis(POINT, width), 3, Mode.ADD, strength, 1.0)


def heard(
    model: LanguageModel, plan: GuardPlan, rows: Sequence[Sequence[FeatureEdit]] = ((),)
) -> list[GuardedStep]:
    run = SteeredRun(Steering(model, rows))
    made = guarded_answers(run, prompt(model), ASKED, Watched(), plan)
    return [each for step in made for each in step]


def drawn(steps: Sequence[GuardedStep], row: int = 0) -> list[int]:
    return [each.token for each in steps if isinstance(each, AnswerToken) and each.row == row]


def alarms(steps: Sequence[GuardedStep]) -> list[RaisedAlarm]:
    return [each for each in steps if isinstance(each, RaisedAlarm)]


def unwatched(model: LanguageModel, edits: Sequence[FeatureEdit] = ()) -> list[int]:
    run = SteeredRun(Steering(model, (edits,)))
    tokens = torch.from_numpy(prompt(model).tokens)
    steps = [each for step in answers(run, tokens, ASKED, Watched()) for each in step]
    return [each.token for each in steps if isinstance(each, AnswerToken)]


def reread(model: LanguageModel, own: LevelReader, answer: Sequence[int]) -> Numbers:
    """Levels of conversation and answer, read as one text."""
    tokens = [*prompt(model).tokens.tolist(), *answer]
    (read,) = read_levels(model, [own], [[tokens]])
    return read.levels[0]


def test_levels_while_decoding_are_those_of_reading_the_whole_text(model: LanguageModel) -> None:
    own = reader(model)
    steps = heard(model, GuardPlan((own,), (NEVER,)))
    answer = drawn(steps)
    assert answer == unwatched(model)  # nothing is changed by being watched
    expected = reread(model, own, answer)
    n = len(prompt(model))
    special = np.array([token in model.vocabulary.special for token in answer])
    judged = [each for each in steps if isinstance(each, JudgedTurn)]
    assert [each.turn for each in judged] == [0, ANSWER]
    positions = [place for each in judged for place in each.positions]
    assert positions == [*range(1, n), *(n + np.flatnonzero(~special)).tolist()]
    levels = np.concatenate([each.tokens[0] for each in judged])
    np.testing.assert_allclose(levels, expected[positions], atol=1e-4 * np.abs(expected).max())
    turns = {each.turn: each.levels[0] for each in steps if isinstance(each, JudgedTurn)}
    assert turns[ANSWER] == pytest.approx(expected[n:][~special].max(), rel=1e-4)
    assert turns[0] == pytest.approx(expected[1:n].max(), rel=1e-4)
    assert not alarms(steps)


@pytest.mark.parametrize("pooling", LevelPooling)
def test_an_alarm_is_raised_where_the_whole_answer_s_level_is_above(
    model: LanguageModel, pooling: LevelPooling
) -> None:
    own = reader(model, pooling=pooling)
    (level,) = (
        each.levels[0]
        for each in heard(model, GuardPlan((own,), (NEVER,)))
        if isinstance(each, JudgedTurn) and each.turn == ANSWER
    )
    for threshold, expected in ((level - 1e-6, 1), (level, 0)):
        raised = alarms(heard(model, GuardPlan((own,), (threshold,))))
        assert len([each for each in raised if each.turn == ANSWER]) == expected
    below = heard(model, GuardPlan((own,), (level - 1e-6,)))
    (alarm,) = (each for each in alarms(below) if each.turn == ANSWER)
    assert alarm.level == pytest.approx(level)
    if pooling is not LevelPooling.MAX:  # only the end says
        assert len(drawn(below[: below.index(alarm)])) == len(drawn(below)) - 1


def quiet_then_loud(model: LanguageModel) -> tuple[LevelReader, float, int]:
    """A monitor whose alarm comes in the middle of the answer, and with which token."""
    n, answer = len(prompt(model)), unwatched(model)
    for feature in range(model.write_point(POINT).d_in):
        own = reader(model, [(feature, 1.0)])
        levels = reread(model, own, answer)
        at = int(levels[n:].argmax())
        before = float(levels[: n + at].max())
        if 3 <= at < len(answer) - 2 and levels[n + at] > before + 0.01:
            return own, (float(levels[n + at]) + before) / 2, at
    raise AssertionError("no feature has its largest level in the middle")


def test_the_gate_mark_changes_nothing(model: LanguageModel) -> None:
    own, threshold, at = quiet_then_loud(model)
    steps = heard(model, GuardPlan((own,), (threshold,)))
    assert drawn(steps) == unwatched(model)
    (alarm,) = alarms(steps)
    assert (alarm.turn, alarm.position) == (ANSWER, len(prompt(model)) + at)
    # It is told with the few tokens that are read together, not at the end.
    assert at < len(drawn(steps[: steps.index(alarm)])) <= (at // TOGETHER + 1) * TOGETHER


def test_the_gate_refuse_hands_out_nothing_that_raised_the_alarm(model: LanguageModel) -> None:
    own, threshold, at = quiet_then_loud(model)
    steps = heard(model, GuardPlan((own,), (threshold,), AlarmGate.REFUSE))
    assert drawn(steps) == unwatched(model)[:at]
    assert steps[-1] == RefusedAnswer(0, at + 1)
    assert not any(isinstance(each, AnswerToken) and each.end for each in steps)
    whole = heard(model, GuardPlan((own,), (NEVER,), AlarmGate.REFUSE))
    assert drawn(whole) == unwatched(model)
    assert isinstance(whole[-1], AnswerToken)
    assert whole[-1].end


@pytest.mark.parametrize("pooling", [LevelPooling.MEAN, LevelPooling.LAST])
def test_where_only_the_end_says_refuse_holds_everything_back(
    model: LanguageModel, pooling: LevelPooling
) -> None:
    own = reader(model, ((0, 1.0),), pooling)
    plan = GuardPlan((own,), (-NEVER,), AlarmGate.REFUSE)
    refused = heard(model, replace(plan, thresholds=(NEVER,)))
    assert drawn(refused) == unwatched(model)
    judged = next(
        n for n, each in enumerate(refused) if isinstance(each, JudgedTurn) and each.turn == ANSWER
    )
    assert drawn(refused[:judged]) == []
    assert drawn(heard(model, plan)) == []


def test_an_alarm_in_the_last_turn_refuses_before_a_word_is_said(model: LanguageModel) -> None:
    plan = GuardPlan((reader(model),), (-NEVER,), AlarmGate.REFUSE)
    steps = heard(model, plan)
    assert drawn(steps) == []
    assert steps[-1] == RefusedAnswer(0, 0)


def test_an_alarm_in_an_earlier_turn_moves_no_gate(model: LanguageModel) -> None:
    said = prompt(model)
    own = reader(model, ((2, 1.0),))
    levels = reread(model, own, ())
    loud = int(levels.argmax())
    turn = np.where(np.arange(len(said)) <= loud, 0, 1).astype(np.int32)
    turn[0] = -1
    if loud == len(said) - 1:  # all but the last token are quieter: swap the turns
        turn[1:] = [1] * (len(said) - 2) + [0]
    two = replace(said, turn=turn)
    run = SteeredRun(Steering(model, ((),)))
    threshold = float(np.sort(levels)[-2:].mean())
    plan = GuardPlan((own,), (threshold,), AlarmGate.REFUSE)
    steps = [s for step in guarded_answers(run, two, ASKED, Watched(), plan) for s in step]
    first = next(each for each in steps if isinstance(each, RaisedAlarm))
    assert first.turn == 0
    assert not any(each.turn == 1 for each in alarms(steps))
    assert RefusedAnswer(0, 0) not in steps


def test_the_gate_steer_switches_edits_on_from_the_alarm_on(model: LanguageModel) -> None:
    own, threshold, at = quiet_then_loud(model)
    plan = GuardPlan((own,), (threshold,), AlarmGate.STEER, (edit(model),))
    steps = heard(model, plan)
    # The reference: text up to the alarm plain, every later position under the edit.
    run = SteeredRun(Steering(model, ((edit(model),),), begin=len(prompt(model)) + at + 1))
    tokens = torch.from_numpy(prompt(model).tokens)
    made = [each for step in answers(run, tokens, ASKED, Watched()) for each in step]
    expected = [each.token for each in made if isinstance(each, AnswerToken)]
    assert drawn(steps) == expected
    assert drawn(steps)[: at + 2] == unwatched(model)[: at + 2]
    assert drawn(steps) != unwatched(model)


def test_each_row_has_its_own_gate(model: LanguageModel) -> None:
    own, threshold, at = quiet_then_loud(model)
    both = heard(model, GuardPlan((own,), (threshold,), AlarmGate.REFUSE), ((), (edit(model),)))
    assert drawn(both, 0) == unwatched(model)[:at]
    assert RefusedAnswer(0, at + 1) in both
    assert drawn(both, 1) == unwatched(model, (edit(model),))[: len(drawn(both, 1))]


def test_edits_cannot_be_switched_on_where_the_whole_text_runs_anew(model: LanguageModel) -> None:
    run = SteeredRun(Steering(model, ((),)), cached=False)
    plan = GuardPlan((reader(model),), (0.0,), AlarmGate.STEER, (edit(model),))
    with pytest.raises(SteeringError, match="Choose the gate mark or refuse"):
        list(guarded_answers(run, prompt(model), ASKED, Watched(), plan))
