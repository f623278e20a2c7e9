"""The chat job: both answers in one batch, what is steered, what is watched, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.worker.client.chats import ChatTokens, WatchedTokens
from app.worker.process.failures import failure
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.protocol.chats import (
    ChatBegan,
    ChatEnd,
    ChatEnded,
    ChatPane,
    ChatRead,
    ChatRequest,
    ChatScope,
    ChatStep,
    ChatTurn,
    TraitMember,
    WatchedTrait,
)
from app.worker.protocol.events import Event, FailureCode
from app.worker.protocol.requests import DictionaryRef, ModelRef, Sampling, SteerEdit, SteerMode
from sae_core.dictionaries.checkpoint import neuron_basis
from sae_core.errors import FeaturescopeError
from sae_core.language_model.model import load_model
from sae_core.text.chat.conversation import converse
from sae_core.text.chat.template import ChatTemplate
from sae_core.text.chat.turns import Turn
from tests.app.worker.tiny import D_MLP, HOOK_POINT, N_CTX, save_model

NEURONS = DictionaryRef(path=None, hook_point=HOOK_POINT)
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role[0] + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'a' }}{% endif %}"
)
TURNS = (ChatTurn(role="user", content="a tiny text"),)
EDIT = SteerEdit(dictionary=NEURONS, feature=2, strength=3.0, maximum=5.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    ref = save_model(tmp_path_factory.mktemp("chat") / "model")
    settings = {"bos_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (Path(ref.path) / "tokenizer_config.json").write_text(json.dumps(settings))
    return ref.model_copy(update={"checksum": load_model(ref.path).checksum})


@pytest.fixture(scope="module")
def workbench() -> TorchWorkbench:
    return TorchWorkbench("cpu", 1, Limits())


def run(workbench: TorchWorkbench, model: ModelRef, **options: Any) -> list[Event]:
    asked = {"turns": TURNS, "n_tokens": 4, "sampling": Sampling(seed=3)} | options
    return list(workbench.work(ChatRequest(model=model, **asked)))


def steps(events: Sequence[Event], pane: ChatPane) -> list[ChatStep]:
    return [event for event in events if isinstance(event, ChatStep) and event.pane is pane]


def told(events: Sequence[Event], pane: ChatPane) -> list[tuple[int, float, str]]:
    return [(step.token, step.log_probability, step.text) for step in steps(events, pane)]


def test_a_neutral_setting_gives_the_model_s_own_bits(
    workbench: TorchWorkbench, model: ModelRef
) -> None:
    plain = told(run(workbench, model), ChatPane.UNSTEERED)
    neutral = EDIT.model_copy(update={"strength": 0.0})
    for edits in ((), (neutral,), (neutral.model_copy(update={"mode": SteerMode.REMOVE}),)):
        both = run(workbench, model, edits=edits)
        assert told(both, ChatPane.UNSTEERED) == told(both, ChatPane.STEERED) == plain
    for scope in ChatScope:
        both = run(workbench, model, edits=(EDIT,), scope=scope)
        assert told(both, ChatPane.UNSTEERED) == plain
        assert told(both, ChatPane.STEERED) != plain
    (ended,) = (e for e in both if isinstance(e, ChatEnded) and e.pane is ChatPane.UNSTEERED)
    assert (ended.text, ended.n_tokens) == (plain[-1][2], len(plain))


@pytest.mark.parametrize("opens", [False, True])
def test_bos_stands_before_a_conversation_where_the_harvest_had_it(
    workbench: TorchWorkbench, model: ModelRef, tmp_path: Path, opens: bool
) -> None:
    """The template writes none: what is answered begins as what the pages read."""
    shutil.copytree(model.path, tmp_path, dirs_exist_ok=True)
    settings = {"chat_template": TEMPLATE.removeprefix("{{ bos_token }}")}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    loaded = load_model(tmp_path)
    ref = ModelRef(path=str(tmp_path), checksum=loaded.checksum, prepend_bos=opens)
    began = next(e for e in run(workbench, ref) if isinstance(e, ChatBegan))
    said = converse(
        ChatTemplate.of(tmp_path),
        loaded.tokenizer,
        [Turn(turn.role, turn.content) for turn in TURNS],
        bos=loaded.bos if opens else None,
    )
    tokens = ChatTokens.of(began).tokens.tolist()
    assert tokens == said.tokens.tolist()
    assert (tokens[0] == loaded.bos) == began.bos_added == opens


def test_the_conversation_is_told_token_by_token(
    workbench: TorchWorkbench, model: ModelRef
) -> None:
    began = next(e for e in run(workbench, model) if isinstance(e, ChatBegan))
    talk = ChatTokens.of(began)
    assert "".join(talk.strings) == "<|endoftext|>ua tiny texta"
    assert talk.part[0] == 2
    assert talk.turn[0] == -1
    assert "a tiny text" in "".join(
        string for string, part in zip(talk.strings, talk.part, strict=True) if part == 0
    )
    assert began.own_template
    assert not began.bos_added


@pytest.mark.parametrize("scope", list(ChatScope))
def test_what_is_watched_is_what_the_writing_model_reads(
    workbench: TorchWorkbench, model: ModelRef, scope: ChatScope
) -> None:
    trait = WatchedTrait(
        name="t",
        members=(
            TraitMember(dictionary=NEURONS, feature=2),
            TraitMember(dictionary=NEURONS, feature=5, weight=-0.5),
        ),
    )
    events = run(workbench, model, edits=(EDIT,), scope=scope, watch=(NEURONS,), traits=(trait,))
    talk = ChatTokens.of(next(e for e in events if isinstance(e, ChatBegan)))
    whole = load_model(model.path)
    dictionary = neuron_basis(HOOK_POINT, D_MLP)
    point = whole.hook_point(HOOK_POINT, D_MLP)
    for pane in ChatPane:
        ids = [*talk.tokens.tolist(), *(step.token for step in steps(events, pane))]
        read = [WatchedTokens.of(e) for e in events if isinstance(e, ChatRead) and e.pane is pane]
        assert [r.position for r in read] == np.cumsum(
            [0, *(r.levels.shape[1] for r in read[:-1])]
        ).tolist()
        levels = np.concatenate([r.levels[0] for r in read])
        assert len(levels) == len(ids)
        x = whole.capture(torch.tensor([ids]), point)[0]
        if pane is ChatPane.STEERED:
            edited = {
                ChatScope.EVERYTHING: range(1, len(ids)),
                ChatScope.CONTENTS: [n for n in range(len(ids)) if n >= len(talk.part)
                                     or talk.part[n] == 0],
                ChatScope.ANSWER: range(len(talk.tokens) - 1, len(ids)),
            }[scope]  # fmt: skip
            x = x.clone()
            for position in edited:
                if ids[position] not in whole.vocabulary.special:
                    x[position, 2] += EDIT.strength * EDIT.maximum
        acts = dictionary.encode(x)
        expected = (acts[:, 2] - 0.5 * acts[:, 5]).numpy()
        expected[[token in whole.vocabulary.special for token in ids]] = 0
        np.testing.assert_allclose(levels, expected, atol=1e-4)
        strongest = np.concatenate([r.features[0][:, 0] for r in read])
        assert strongest[0] == -1
        assert strongest[3] == int(acts[3].argmax())


def test_an_answer_alone_and_its_alternatives(workbench: TorchWorkbench, model: ModelRef) -> None:
    events = run(workbench, model, alone=True, alternatives=3)
    assert not steps(events, ChatPane.UNSTEERED)
    for step in steps(events, ChatPane.STEERED):
        best = [other.log_probability for other in step.alternatives]
        assert len(best) == 3
        assert best == sorted(best, reverse=True)
        assert step.log_probability <= best[0] + 1e-6


def test_an_answer_ends_where_the_context_does(workbench: TorchWorkbench, model: ModelRef) -> None:
    events = run(workbench, model, n_tokens=500, stop=("never said",))
    n = len(next(e for e in events if isinstance(e, ChatBegan)).strings)
    for ended in (e for e in events if isinstance(e, ChatEnded)):
        if ended.why is ChatEnd.LENGTH:
            assert ended.n_tokens == N_CTX - n


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"turns": (ChatTurn(role="user", content="a tiny text " * 9),)}, "with the answer"),
        ({"turns": ()}, "either the turns"),
        ({"prompt": "a"}, "either the turns"),
        ({"template": "other"}, "no chat template 'other'"),
        ({"edits": (EDIT.model_copy(update={"feature": D_MLP}),)}, "feature"),
    ],
)
def test_what_cannot_be_answered_is_the_asker_s_mistake(
    workbench: TorchWorkbench, model: ModelRef, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(FeaturescopeError, match=words) as error:
        run(workbench, model, **options)
    assert failure(error.value).code is FailureCode.INVALID
